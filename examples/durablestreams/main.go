// Durablestreams runs everything in one program: a server with its streams in a file, a typed producer, and two
// consumers of the same stream over HTTP, the first over SSE and the second by long-poll.
package main

import (
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
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A Reading is a record of the stream.
type Reading struct {
	Sensor  string  `json:"sensor"`
	Celsius float64 `json:"celsius"`
}

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", "durablestreams-data", "where the data lies")
	addr := flag.String("addr", "127.0.0.1:0", "where to listen")
	readings := flag.Int("readings", 10, "how many readings to send")
	every := flag.Duration("every", 200*time.Millisecond, "how long to wait between them")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *dir, *addr, *readings, *every); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, dir, addr string, readings int, every time.Duration) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	srv, err := server.New(server.Config{Data: filepath.Join(dir, "streams.db"), Path: server.Prefix("/v1/stream/")})
	if err != nil {
		return err
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, srv.Shutdown(last))
	}()

	if err := srv.Start(addr); err != nil {
		return err
	}

	client, err := durablestreams.New(srv.URL() + "/v1/stream")
	if err != nil {
		return err
	}
	defer client.Close()
	// Each run has its own stream. At the end the program closes the stream, and the readers learn of the end.
	stream := client.Stream("readings/" + time.Now().UTC().Format("20060102T150405.000000000"))
	if _, err := stream.Create(ctx, "application/json"); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s\n", stream.URL())

	lines := make(chan string)
	ended := make(chan error)
	go func() { ended <- tail(ctx, client.Stream(stream.Name(), durablestreams.SSE()), "display", lines) }()
	go func() { ended <- tail(ctx, client.Stream(stream.Name(), durablestreams.LongPoll()), "archive", lines) }()
	go func() { ended <- measure(ctx, stream, readings, every) }()
	for parts := 3; parts > 0; {
		select {
		case line := <-lines:
			fmt.Fprintln(out, line)
		case e := <-ended:
			err = errors.Join(err, e)
			parts--
		}
	}
	return err
}

// measure sends the readings. It always seals the stream, even after an interruption, because the readers wait for the
// end.
func measure(ctx context.Context, stream *durablestreams.Stream, n int, every time.Duration) (err error) {
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, stream.Seal(last))
	}()
	p, err := producer.New(ctx, stream, codec.JSON[Reading]())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }() // first store all readings, then seal the stream
	for i := range n {
		if _, err := p.Enqueue(ctx, Reading{Sensor: fmt.Sprint("s", i%3), Celsius: 20 + float64(i)/10}); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(every):
		}
	}
	return nil
}

// tail prints the readings when they arrive, until the stream is closed.
func tail(ctx context.Context, stream backend.Source, name string, lines chan<- string) error {
	c, err := consumer.New(stream, codec.JSON[Reading](), consumer.StartAt(backend.Earliest))
	if err != nil {
		return err
	}
	n := 0
	for m, err := range c.Messages(ctx) {
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		n++
		lines <- fmt.Sprintf("%s %s %.1f", name, m.Value.Sensor, m.Value.Celsius)
	}
	lines <- fmt.Sprintf("%s saw %d readings and the end", name, n)
	return nil
}
