// Pipe moves readings from a stream of a Durable Streams server to a table of Zerobus. Each is validated with protovalidate
// on the way; what fails goes to a stream of dead letters. The checkpoint passes a reading only when its row is durable, so
// a pipe that is killed loses nothing: run it again, and it goes on. Rows under way at the kill may be in the table twice.
//
// Both ends are in this process, and keep what they have in files, unless the environment names others: a server with
// DURABLE_STREAMS_URL, such as http://127.0.0.1:4437/v1/stream, and a workspace as for examples/zerobus.
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

// pipe runs until the tail of the stream.
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
		return out.Enqueue(ctx, m.Value) // the receipt decides when the checkpoint may pass m
	})
	if err == nil {
		fmt.Printf("%d readings moved, every row is durable\n", moved)
	}
	return err
}
