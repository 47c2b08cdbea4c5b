// S2 writes typed orders to a stream of S2, each exactly once, and reads the orders back. Set S2_ACCESS_TOKEN and
// S2_BASIN to use a basin of your account. Otherwise the program runs a server in this process.
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
	"syscall"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/server"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// An Order is a record of the stream.
type Order struct {
	ID       int       `json:"id"`
	Customer string    `json:"customer"`
	Cents    int       `json:"cents"`
	Placed   time.Time `json:"placed"`
}

func main() {
	log.SetFlags(0)
	name := flag.String("stream", "headrace-orders", "the stream, which is created if there is none")
	orders := flag.Int("orders", 10_000, "how many orders to place")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *name, *orders); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, out io.Writer, name string, orders int) error {
	client, basin, end, err := connect(out)
	if err != nil {
		return err
	}
	defer end()
	// If the stream exists already, use it unchanged.
	if _, err := admin.New(client).Basin(basin).CreateStream(ctx, name, s2.StreamConfig{}); err != nil && !errors.Is(err, backend.ErrConflict) {
		return err
	}
	// Exclusive means: after a lost connection, the client first looks up the stored batches, and only then sends
	// again. If another run of this program is still writing, Fence stops the other run.
	stream := client.Basin(basin).Stream(name, s2.Exclusive(), s2.Fence(""))
	tail, err := stream.CheckTail(ctx)
	if err != nil {
		return err
	}
	if err := place(ctx, out, stream, orders); err != nil {
		return err
	}
	return total(ctx, out, stream, tail.SeqNum)
}

// connect returns a client and the basin of the environment. Without a basin in the environment, connect starts a
// server in this process. end closes everything that connect has opened.
func connect(out io.Writer) (client *s2.Client, basin string, end func(), err error) {
	name := os.Getenv("S2_BASIN")
	if os.Getenv("S2_ACCESS_TOKEN") != "" && name != "" {
		cfg, err := s2.Environment()
		if err != nil {
			return nil, "", nil, err
		}
		client, err := s2.New(cfg)
		if err != nil {
			return nil, "", nil, err
		}
		fmt.Fprintf(out, "basin %s at %v\n", name, client)
		return client, name, func() { _ = client.Close() }, nil
	}
	fmt.Fprintln(out, "S2_ACCESS_TOKEN and S2_BASIN are not set: this process serves S2 itself")
	srv, err := server.New(server.Config{Basins: []server.Basin{{Name: "headrace-example", AutoCreate: true}}})
	if err != nil {
		return nil, "", nil, err
	}
	if err := srv.Start("127.0.0.1:0"); err != nil {
		return nil, "", nil, errors.Join(err, srv.Close())
	}
	client, err = s2.New(s2.Config{Token: srv.Token(), AccountEndpoint: srv.URL(), BasinEndpoint: srv.URL()})
	if err != nil {
		return nil, "", nil, errors.Join(err, srv.Close())
	}
	return client, "headrace-example", func() { _ = client.Close(); _ = srv.Close() }, nil
}

// place writes orders. If it returns nil, all orders are durable.
func place(ctx context.Context, out io.Writer, stream *s2.Stream, orders int) error {
	p, err := producer.New(ctx, stream, codec.JSON[Order]())
	if err != nil {
		return err
	}
	began := time.Now()
	for id := 1; id <= orders && err == nil; id++ {
		_, err = p.Enqueue(ctx, Order{ID: id, Customer: fmt.Sprintf("customer-%03d", id%997), Cents: id%20_000 + 99, Placed: time.Now()})
	}
	if err := errors.Join(err, p.Close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "placed %d orders, %.0f a second\n", orders, float64(orders)/time.Since(began).Seconds())
	return nil
}

// total reads all orders behind a place in the stream.
func total(ctx context.Context, out io.Writer, stream *s2.Stream, from uint64) error {
	c, err := consumer.New(stream, codec.JSON[Order](), consumer.StartAt(s2.At(from)), consumer.StopAtTail())
	if err != nil {
		return err
	}
	orders, cents := 0, 0
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		if orders++; m.Value.ID != orders {
			return fmt.Errorf("order %d lies at %s, where order %d belongs", m.Value.ID, m.Offset, orders)
		}
		cents += m.Value.Cents
	}
	fmt.Fprintf(out, "read %d orders, each once and in order, of %d cents in all\n", orders, cents)
	return nil
}
