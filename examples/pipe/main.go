// Pipe moves readings from a stream of a Durable Streams server to a table of Zerobus. On the way, protovalidate checks
// each reading; invalid readings go to a stream of dead letters. The checkpoint moves past a reading only after its row
// is durable, so a kill loses nothing: run the program again, and it goes on. Rows on the way during the kill may be in
// the table twice.
//
// By default both ends run in this process and keep their data in files. The environment can name other systems:
// DURABLE_STREAMS_URL names a server, such as http://127.0.0.1:4437/v1/stream, and the variables of examples/zerobus
// name a workspace.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/headrace/headrace/backend"
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
	from, shutStreams, err := streams(ctx, dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shutStreams()) }()
	if err := fill(ctx, from.readings, n); err != nil {
		return err
	}
	to, shutTable, err := table(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, shutTable()) }()
	return pipe(ctx, dir, from.readings, to, from.letters)
}

// pipe moves readings until the tail of the stream.
func pipe(ctx context.Context, dir string, readings backend.Source, rows, letters backend.Sink) (err error) {
	valid := protobuf.Codec[*airpb.Reading](protobuf.Validate())
	out, err := producer.New(ctx, rows, valid)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	dead, err := producer.New(ctx, letters, codec.JSON[consumer.DeadLetter]())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dead.Close()) }()

	in, err := consumer.New(readings, valid,
		consumer.Checkpoint(checkpoint.NewFile(filepath.Join(dir, "checkpoint")), "readings to table"),
		consumer.CheckpointEvery(2000, time.Second),
		consumer.DeadLetters(dead), consumer.StopAtTail())
	if err != nil {
		return err
	}
	moved := 0
	err = in.Pipe(ctx, func(ctx context.Context, m consumer.Message[*airpb.Reading]) (producer.Receipt, error) {
		if moved++; moved%1000 == 0 {
			fmt.Println("moved", moved)
		}
		return out.Enqueue(ctx, m.Value) // the checkpoint moves past m when the receipt says that the row is durable
	})
	if err == nil {
		fmt.Printf("%d readings moved, every row is durable\n", moved)
	}
	return err
}
