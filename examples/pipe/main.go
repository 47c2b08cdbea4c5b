// Pipe moves readings from a durable stream in a file to a table of Zerobus. Each is validated with protovalidate on the
// way; what fails goes to a stream of dead letters. The checkpoint passes a reading only when its row is durable, so a pipe
// that is killed loses nothing: run it again, and it goes on. Rows under way at the kill may be in the table twice.
//
// The table is in this process, and its rows are lines of rows.ndjson, unless the environment names a workspace; see
// examples/zerobus.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/examples/internal/airpb"
	"github.com/headrace/headrace/producer"
)

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", "pipe-data", "where the data lies")
	n := flag.Int64("readings", 100_000, "how many readings the stream has in all; those missing are written first")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *n); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string, n int64) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	db, err := bolt.Open(filepath.Join(dir, "streams.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := fill(ctx, db.Stream("readings"), n); err != nil {
		return err
	}
	sink, shut, err := table(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shut()) }()
	return pipe(ctx, dir, db, sink)
}

// pipe runs until the tail of the stream.
func pipe(ctx context.Context, dir string, db *bolt.DB, sink backend.Sink) (err error) {
	valid := protobuf.Codec[*airpb.Reading](protobuf.Validate())
	out, err := producer.New(ctx, sink, valid)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	letters, err := producer.New(ctx, db.Stream("dead letters"), codec.JSON[consumer.DeadLetter]())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, letters.Close()) }()

	in, err := consumer.New(db.Stream("readings"), valid,
		consumer.Checkpoint(checkpoint.NewFile(filepath.Join(dir, "checkpoint")), "readings to table"),
		consumer.CheckpointEvery(2000, time.Second),
		consumer.DeadLetters(letters), consumer.StopAtTail())
	if err != nil {
		return err
	}
	moved := 0
	err = in.Pipe(ctx, func(ctx context.Context, m consumer.Message[*airpb.Reading]) (producer.Receipt, error) {
		if moved++; moved%1000 == 0 {
			fmt.Println("moved", moved)
		}
		return out.Enqueue(ctx, m.Value) // the receipt decides when the checkpoint may pass m
	})
	fmt.Printf("%d readings are in the table\n", moved)
	return err
}

// table is a real one if the environment names it.
func table(dir string) (sink backend.Sink, shut func() error, err error) {
	name := cmp.Or(os.Getenv("ZEROBUS_TABLE"), "main.air.readings")
	if endpoint := os.Getenv("ZEROBUS_ENDPOINT"); endpoint != "" {
		return zerobus.Table(name, zerobus.Config{
			Endpoint: endpoint, UnityCatalog: os.Getenv("UNITY_CATALOG_URL"),
			ClientID: os.Getenv("DATABRICKS_CLIENT_ID"), ClientSecret: os.Getenv("DATABRICKS_CLIENT_SECRET"),
		}), func() error { return nil }, nil
	}
	rows, err := os.OpenFile(filepath.Join(dir, "rows.ndjson"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, nil, err
	}
	// A kill may have cut the last line short. What follows must not become part of it.
	if at, err := rows.Seek(0, io.SeekEnd); err == nil && at > 0 {
		if _, err := rows.WriteString("\n"); err != nil {
			return nil, nil, errors.Join(err, rows.Close())
		}
	}
	columns := zerobustest.Columns((*airpb.Reading)(nil).ProtoReflect().Descriptor())
	srv, err := zerobustest.Start(zerobustest.Table(name, columns...), zerobustest.RowLog(rows), zerobustest.DiscardRows())
	if err != nil {
		return nil, nil, errors.Join(err, rows.Close())
	}
	sink = zerobus.Table(name, zerobus.Config{Endpoint: srv.Endpoint, UnityCatalog: srv.UnityCatalogURL, ClientID: "demo", ClientSecret: "demo"})
	return sink, func() error { return errors.Join(srv.Close(), rows.Close()) }, nil
}

// fill writes the readings that the stream does not have yet. Its codec does not validate, as other people's may not: one
// in a hundred has no station.
func fill(ctx context.Context, stream *bolt.Stream, n int64) error {
	c := protobuf.Codec[*airpb.Reading]()
	last, err := consumer.New(stream, c, consumer.StartAt(backend.Last(1)), consumer.StopAtTail())
	if err != nil {
		return err
	}
	next := int64(0)
	for m, err := range last.Messages(ctx) {
		if err != nil {
			return err
		}
		next = m.Value.GetNumber() + 1
	}
	p, err := producer.New(ctx, stream, c)
	if err != nil {
		return err
	}
	for ; next < n; next++ {
		station, at, pm25, number := fmt.Sprintf("station-%02d", next%20), time.Now().UnixMicro(), float64(next%350)/10, next
		if invalid(number) {
			station = ""
		}
		if _, err := p.Enqueue(ctx, &airpb.Reading{Station: &station, TakenUs: &at, Pm25: &pm25, Number: &number}); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	return p.Close()
}

func invalid(number int64) bool { return number%100 == 99 }
