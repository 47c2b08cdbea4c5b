// Workers shows handlers with keys, retries, dead letters and their redrive, on an embedded stream.
//
// Payments of ten customers are in a file. Eight handlers work on them at the same time, and keep the order of each
// customer's payments. A payment that fails again and again becomes a dead letter, and the other payments go on. Then
// we remove the cause of the failures, and send the dead letters to the stream again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/checkpoint/boltstore"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

type payment struct {
	Customer string
	No       int
}

func main() {
	log.SetFlags(0)
	file := flag.String("file", "workers.db", "where the streams and the checkpoints lie")
	n := flag.Int("payments", 10_000, "how many payments to make")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *file, *n); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string, n int) (err error) {
	db, err := bolt.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	payments, dead := db.Stream("payments"), db.Stream("payments-dead")
	if err := fill(ctx, payments, n); err != nil {
		return err
	}

	letters, err := producer.New(ctx, dead, codec.JSON[consumer.DeadLetter]())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, letters.Close()) }()
	c, err := consumer.New(payments, codec.JSON[payment](), consumer.StopAtTail(), consumer.DeadLetters(letters),
		consumer.Checkpoint(boltstore.New(db.Bolt(), "checkpoints"), "payments/book"))
	if err != nil {
		return err
	}
	book := newBook()
	if err := work(ctx, c, book); err != nil {
		return err
	}
	fmt.Printf("%d payments are booked, %d became dead letters\n", book.booked.Load(), c.Stats().DeadLetters)

	book.open.Store(true) // remove the cause of the failures
	again, err := redrive(ctx, dead, payments)
	if err != nil {
		return err
	}
	if err := work(ctx, c, book); err != nil {
		return err
	}
	fmt.Printf("%d dead letters were sent again; %d payments are booked now\n", again, book.booked.Load())
	return book.check()
}

func fill(ctx context.Context, s backend.Sink, n int) error {
	p, err := producer.New(ctx, s, codec.JSON[payment]())
	if err != nil {
		return err
	}
	for i := range n {
		if _, err := p.Enqueue(ctx, payment{Customer: fmt.Sprintf("customer-%d", i%10), No: i}); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	return p.Close()
}

// work handles payments until the tail. Eight handlers run at once, and the payments of a customer keep their order.
func work(ctx context.Context, c *consumer.Consumer[payment], b *book) error {
	return c.Process(ctx, func(_ context.Context, m consumer.Message[payment]) error { return b.book(m.Value) },
		consumer.Concurrency(8),
		c.KeyBy(func(p payment) string { return p.Customer }),
		consumer.Retries(2),
		consumer.RetryBackoff(time.Millisecond, 10*time.Millisecond),
	)
}

// redrive appends the dead letters unchanged to their original stream, and returns their number.
func redrive(ctx context.Context, dead backend.Source, to backend.Sink) (n int, err error) {
	p, err := producer.New(ctx, to, codec.RawJSON())
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	c, err := consumer.New(dead, codec.JSON[consumer.DeadLetter](), consumer.StopAtTail())
	if err != nil {
		return 0, err
	}
	err = c.Pipe(ctx, func(ctx context.Context, m consumer.Message[consumer.DeadLetter]) (producer.Receipt, error) {
		n++
		return p.EnqueueEncoded(ctx, backend.Record{Value: m.Value.Value, Headers: m.Value.Headers})
	})
	return n, err
}

// A book refuses the payments of one account until open is true. It also refuses the first attempt of some other
// payments.
type book struct {
	booked atomic.Int64
	open   atomic.Bool

	mu     sync.Mutex
	last   map[string]int
	tried  map[int]bool
	wrong  []string
	closed string
}

func newBook() *book {
	return &book{last: map[string]int{}, tried: map[int]bool{}, closed: "customer-7"}
}

func (b *book) book(p payment) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.Customer == b.closed && !b.open.Load() {
		return consumer.Permanent(fmt.Errorf("the account of %s is closed", p.Customer))
	}
	if p.No%100 == 1 && !b.tried[p.No] {
		b.tried[p.No] = true
		return errors.New("the bank does not answer") // only the first attempt fails
	}
	if last, ok := b.last[p.Customer]; ok && p.No <= last {
		b.wrong = append(b.wrong, fmt.Sprintf("%s: %d behind %d", p.Customer, p.No, last))
	}
	b.last[p.Customer] = p.No
	b.booked.Add(1)
	return nil
}

func (b *book) check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.wrong) > 0 {
		return errors.New("out of order: " + strings.Join(b.wrong, ", "))
	}
	return nil
}
