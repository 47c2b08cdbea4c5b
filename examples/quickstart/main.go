// Quickstart writes typed orders to a durable stream in a file. Then the program reads the orders, and begins where the
// last run has stopped. Run the program twice, interrupt or kill the program, and run the program again.
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
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// An Order is a record of the stream. IDs count from 1 over all runs, so a lost or repeated order is visible.
type Order struct {
	ID       uint64    `json:"id"`
	Customer string    `json:"customer"`
	Cents    int       `json:"cents"`
	Items    []string  `json:"items"`
	Placed   time.Time `json:"placed"`
}

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", "quickstart-data", "where the data lies")
	orders := flag.Int("orders", 200_000, "how many orders to place in this run")
	trace := flag.Bool("trace", false, "print each acknowledged batch and each order processed, as it happens")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *orders, *trace); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string, orders int, trace bool) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	db, err := bolt.Open(filepath.Join(dir, "streams.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	stream := db.Stream("orders")

	last, err := lastID(ctx, stream)
	if err != nil {
		return err
	}
	fmt.Printf("The stream \"orders\" lies in %s and holds %d orders.\n", filepath.Join(dir, "streams.db"), last)

	placed := make(chan error, 1)
	go func() { placed <- place(ctx, stream, last, orders, trace) }()
	count, cerr := process(ctx, stream, dir, last, last+uint64(orders), trace)
	perr := <-placed
	if cerr == nil && count.recovered > 0 {
		fmt.Printf("Of these, an earlier run had stored %d and not processed them.\n", count.recovered)
	}
	if ctx.Err() != nil {
		fmt.Println("The run was interrupted. Run it again: it goes on from here.")
	} else if perr == nil && cerr == nil {
		fmt.Printf("Next: run it again, or kill it in the middle and run it again; look into the stream with\n"+
			"  go run ./cmd/headrace tail 'bolt:%s?stream=orders' --until now\n", filepath.Join(dir, "streams.db"))
	}
	return errors.Join(perr, cerr)
}

// lastID returns the ID of the newest order in the stream, or 0 if the stream is empty.
func lastID(ctx context.Context, stream backend.Source) (id uint64, err error) {
	c, err := consumer.New(stream, codec.JSON[Order](), consumer.StartAt(backend.Last(1)), consumer.StopAtTail())
	if err != nil {
		return 0, err
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return 0, err
		}
		id = m.Value.ID
	}
	return id, nil
}

// place writes orders to the stream until it has placed enough or ctx ends. When place returns, all accepted orders are
// durable.
func place(ctx context.Context, stream backend.Sink, last uint64, orders int, trace bool) error {
	var opts []producer.Option
	if trace {
		acked := last
		opts = append(opts, producer.Observe(producer.Hooks{BatchAcked: func(ev producer.BatchEvent) {
			acked += uint64(ev.Records)
			fmt.Println("acked", acked)
		}}))
	}
	p, err := producer.New(ctx, stream, codec.JSON[Order](), opts...)
	if err != nil {
		return err
	}
	began, n := time.Now(), 0
	for ; n < orders && ctx.Err() == nil; n++ {
		id := last + uint64(n) + 1
		_, err = p.Enqueue(ctx, Order{
			ID:       id,
			Customer: fmt.Sprintf("customer-%03d", id%997),
			Cents:    int(id*37%20_000) + 99,
			Items:    []string{"pencil", "paper"},
			Placed:   time.Now(),
		})
		if err != nil {
			break
		}
	}
	if ctx.Err() != nil {
		err = nil // an interruption is no failure, because Close still stores the accepted orders
	}
	if err := errors.Join(err, p.Close()); err != nil {
		return err
	}
	took := time.Since(began)
	fmt.Printf("Placed %d orders, each durable on disk, in %v (%.0f orders/s).\n", n, took.Round(time.Millisecond), float64(n)/took.Seconds())
	return nil
}

// A tally counts the orders that process has handled.
type tally struct{ processed, recovered int }

// process handles orders from the checkpoint on, until the order with the ID end, or until ctx ends.
func process(ctx context.Context, stream backend.Source, dir string, before, end uint64, trace bool) (n tally, err error) {
	places := checkpoint.NewFile(filepath.Join(dir, "checkpoints"))
	place, err := places.Load(ctx, "orders/billing")
	if err != nil {
		return n, err
	}
	if place.Offset == "" {
		fmt.Println("There is no checkpoint yet, so processing begins at the first order.")
	} else {
		fmt.Printf("The checkpoint of orders/billing says %s, so processing goes on there.\n", place.Offset)
	}
	c, err := consumer.New(stream, codec.JSON[Order](),
		consumer.Checkpoint(places, "orders/billing"),
		consumer.CheckpointEvery(10_000, time.Second))
	if err != nil {
		return n, err
	}
	var prev uint64
	began := time.Now()
	for m, err := range c.Messages(ctx) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			return n, err
		}
		if prev != 0 && m.Value.ID != prev+1 {
			return n, fmt.Errorf("order %d came after %d", m.Value.ID, prev)
		}
		prev = m.Value.ID
		n.processed++
		if m.Value.ID <= before {
			n.recovered++
		}
		if trace {
			fmt.Println("processed", m.Value.ID)
		}
		if m.Value.ID == end {
			m.Ack() // without Ack, leaving the loop would not count this order as done
			break
		}
	}
	took := time.Since(began)
	fmt.Printf("Processed %d orders, up to number %d, in %v (%.0f orders/s).\n", n.processed, prev, took.Round(time.Millisecond), float64(n.processed)/took.Seconds())
	return n, nil
}
