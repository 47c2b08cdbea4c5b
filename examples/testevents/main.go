// Testevents appends the output of go test -json to a typed stream. A consumer reads the stream and prints a live
// summary. Lines that cannot be decoded go to a dead-letter stream, with their number and the reason. Other
// newline-delimited JSON with the same fields works too.
//
//	go test -json ./... | go run ./examples/testevents
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", "testevents-data", "where the data lies")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, os.Stdin, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string, in io.Reader, out io.Writer) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	db, err := bolt.Open(filepath.Join(dir, "streams.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	events, letters := db.Stream("test-events"), db.Stream("test-events.dead")
	places := checkpoint.NewFile(filepath.Join(dir, "checkpoints"))

	read := make(chan error, 1)
	following, allRead := context.WithCancel(ctx)
	defer allRead()
	go func() {
		read <- ingest(ctx, events, in)
		allRead()
	}()
	sum := newSummary(out)
	// First follow the stream while it grows. When the input has ended, read the remaining events.
	if err := summarize(following, events, letters, places, sum); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	if err := <-read; err != nil {
		return err
	}
	if err := summarize(ctx, events, letters, places, sum, consumer.StopAtTail()); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	sum.end()
	return printLetters(context.WithoutCancel(ctx), letters, places, out)
}

// lineHeader is the header with the number of the line, counted from 1.
const lineHeader = "line"

// ingest appends each line to the stream unchanged. It does not decode, because decoding is the consumer's task.
func ingest(ctx context.Context, events backend.Sink, in io.Reader) (err error) {
	raw := codec.Func("application/json",
		func(dst []byte, line []byte) ([]byte, error) { return append(dst, line...), nil }, nil)
	p, err := producer.New(ctx, events, raw)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 4<<20) // the stream's limit for one record
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		_, err := p.EnqueueRecord(ctx, producer.Record[[]byte]{
			Value:   lines.Bytes(),
			Headers: backend.Headers{{Name: lineHeader, Value: strconv.AppendInt(nil, int64(n), 10)}},
		})
		if err != nil {
			return fmt.Errorf("line %d: %w", n, err)
		}
	}
	return lines.Err()
}

// summarize passes the typed events to sum, and records that cannot be decoded to letters.
func summarize(ctx context.Context, events backend.Source, letters backend.Sink, places checkpoint.Store, sum *summary, opts ...consumer.Option) (err error) {
	dead, err := producer.New(ctx, letters, codec.JSON[consumer.DeadLetter]())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dead.Close()) }()
	opts = append(opts, consumer.Checkpoint(places, "test-events/summary"), consumer.DeadLetters(dead))
	c, err := consumer.New(events, codec.Validate(codec.JSON[Event](), Event.check), opts...)
	if err != nil {
		return err
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		sum.add(m.Value)
	}
	return nil
}

// printLetters prints the dead letters that no earlier run has printed.
func printLetters(ctx context.Context, letters backend.Source, places checkpoint.Store, out io.Writer) error {
	c, err := consumer.New(letters, codec.JSON[consumer.DeadLetter](),
		consumer.Checkpoint(places, "test-events.dead/print"), consumer.StopAtTail())
	if err != nil {
		return err
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		line, _ := m.Value.Headers.Lookup(lineHeader)
		fmt.Fprintf(out, "dead letter: line %s: %s\n", line, m.Value.Cause)
	}
	return nil
}
