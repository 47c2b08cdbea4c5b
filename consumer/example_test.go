package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"strings"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

type order struct {
	ID     int
	Amount int
}

// orders returns a stream that holds some.
func orders(ctx context.Context) *memory.Stream {
	stream := memory.New()
	p, err := producer.New(ctx, stream, codec.JSON[order]())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := p.Send(ctx, order{1, 10}, order{2, 20}, order{3, 30}); err != nil {
		log.Fatal(err)
	}
	return stream
}

// A record is done when the loop asks for the next one. A consumer that is made later goes on from the checkpoint.
func Example() {
	ctx := context.Background()
	stream, store := orders(ctx), checkpoint.NewMemory()

	read := func(until int) error {
		c, err := consumer.New(stream, codec.JSON[order](),
			consumer.Checkpoint(store, "orders/billing"), consumer.StopAtTail())
		if err != nil {
			return err
		}
		for m, err := range c.Messages(ctx) {
			if err != nil {
				return err // final: there is nothing to retry in here
			}
			if m.Value.ID == until {
				fmt.Println("stop in order", m.Value.ID)
				return nil // before it is done: it comes again
			}
			fmt.Println("bill order", m.Value.ID)
		}
		return nil
	}
	if err := read(2); err != nil {
		log.Fatal(err)
	}
	if err := read(0); err != nil {
		log.Fatal(err)
	}
	// Output:
	// bill order 1
	// stop in order 2
	// bill order 2
	// bill order 3
}

// A batch is done as a whole. BatchWait bounds how long an incomplete one waits for more.
func ExampleConsumer_Batches() {
	ctx := context.Background()
	c, err := consumer.New(orders(ctx), codec.JSON[order](), consumer.BatchRecords(2), consumer.StopAtTail())
	if err != nil {
		log.Fatal(err)
	}
	for batch, err := range c.Batches(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		sum := 0
		for _, m := range batch {
			sum += m.Value.Amount
		}
		fmt.Println(len(batch), "orders, amount", sum)
	}
	// Output:
	// 2 orders, amount 30
	// 1 orders, amount 30
}

// From one stream to another: an order is done when what became of it is durable, and the pipeline stays full.
func ExampleConsumer_Pipe() {
	ctx := context.Background()
	large := memory.New()
	p, err := producer.New(ctx, large, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	c, err := consumer.New(orders(ctx), codec.JSON[order](), consumer.StopAtTail())
	if err != nil {
		log.Fatal(err)
	}
	err = c.Pipe(ctx, func(ctx context.Context, m consumer.Message[order]) (producer.Receipt, error) {
		if m.Value.Amount < 15 {
			return producer.Skip, nil // filtered out
		}
		return p.Enqueue(ctx, fmt.Sprintf("order %d: %d", m.Value.ID, m.Value.Amount))
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range large.Records() {
		fmt.Printf("%s\n", r.Value)
	}
	// Output:
	// order 2: 20
	// order 3: 30
}

// Records may be finished in any order: the checkpoint stays before the first that is not.
func ExampleManualAck() {
	ctx := context.Background()
	stream, store := orders(ctx), checkpoint.NewMemory()
	c, err := consumer.New(stream, codec.JSON[order](), consumer.ManualAck(), consumer.Checkpoint(store, "orders/ship"))
	if err != nil {
		log.Fatal(err)
	}
	var waiting []consumer.Message[order]
	for m, err := range c.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if waiting = append(waiting, m); len(waiting) == 3 {
			break
		}
	}
	for _, i := range []int{1, 0} {
		waiting[i].Ack()
		if err := c.Commit(ctx); err != nil {
			log.Fatal(err)
		}
		cp, err := store.Load(ctx, "orders/ship")
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("order %d is shipped; a new consumer would begin at %s\n", waiting[i].Value.ID, number(cp.Offset))
	}
	// Output:
	// order 2 is shipped; a new consumer would begin at 0
	// order 1 is shipped; a new consumer would begin at 2
}

// What cannot be decoded goes to a stream of its own, typed, and the loop goes on.
func ExampleDeadLetters() {
	ctx := context.Background()
	stream, dead := memory.New(), memory.New()
	raw, err := producer.New(ctx, stream, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	defer raw.Close()
	if err := raw.Send(ctx, `{"ID":1}`, `{"ID":`, `{"ID":3}`); err != nil {
		log.Fatal(err)
	}

	letters, err := producer.New(ctx, dead, codec.JSON[consumer.DeadLetter]())
	if err != nil {
		log.Fatal(err)
	}
	defer letters.Close()
	c, err := consumer.New(stream, codec.JSON[order](), consumer.DeadLetters(letters), consumer.StopAtTail())
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("order", m.Value.ID)
	}

	look, err := consumer.New(dead, codec.JSON[consumer.DeadLetter](), consumer.StopAtTail())
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range look.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("dead letter of the record at %s: %s\n", number(m.Value.Offset), m.Value.Value)
	}
	// Output:
	// order 1
	// order 3
	// dead letter of the record at 1: {"ID":
}

// Without a policy a record that cannot be decoded ends the loop, and the checkpoint stays before it.
func ExampleDecodeError() {
	ctx := context.Background()
	c, err := consumer.New(orders(ctx), codec.JSON[string]())
	if err != nil {
		log.Fatal(err)
	}
	for _, err := range c.Messages(ctx) {
		var poison *consumer.DecodeError
		if errors.As(err, &poison) {
			fmt.Printf("at %s: %s\n", number(poison.Offset), poison.Value)
		}
	}
	// Output:
	// at 0: {"ID":1,"Amount":10}
}

// The caller stores the place itself, in the transaction that holds the effect. Here the store's own Save stands in for
// such a transaction.
func ExampleMessage_Checkpoint() {
	ctx := context.Background()
	store := checkpoint.NewMemory()
	c, err := consumer.New(orders(ctx), codec.JSON[order](),
		consumer.Checkpoint(store, "orders/sums"), consumer.StopAtTail())
	if err != nil {
		log.Fatal(err)
	}
	sum := 0
	for m, err := range c.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		if err := store.Save(ctx, "orders/sums", m.Checkpoint()); err != nil {
			if errors.Is(err, backend.ErrFenced) {
				log.Fatal("a newer consumer has taken over: roll back")
			}
			log.Fatal(err)
		}
		sum += m.Value.Amount
	}
	fmt.Println(sum)
	// Output:
	// 60
}

// Eight handlers, in order per customer. An order that fails three times in a row becomes a dead letter, with its bytes and the
// reason, and the others go on.
func ExampleConsumer_Process() {
	ctx := context.Background()
	stream, dead := orders(ctx), memory.New()
	letters, err := producer.New(ctx, dead, codec.JSON[consumer.DeadLetter]())
	if err != nil {
		log.Fatal(err)
	}
	defer letters.Close()
	c, err := consumer.New(stream, codec.JSON[order](), consumer.StopAtTail(),
		consumer.Checkpoint(checkpoint.NewMemory(), "orders/billing"), consumer.DeadLetters(letters))
	if err != nil {
		log.Fatal(err)
	}
	err = c.Process(ctx, func(ctx context.Context, m consumer.Message[order]) error {
		if m.Value.ID == 2 {
			return errors.New("no such account")
		}
		return nil
	}, consumer.Concurrency(8), c.KeyBy(func(o order) string { return fmt.Sprint(o.ID) }), consumer.Retries(2),
		consumer.RetryBackoff(time.Millisecond, time.Second))
	if err != nil {
		log.Fatal(err)
	}
	given, err := consumer.New(dead, codec.JSON[consumer.DeadLetter](), consumer.StopAtTail())
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range given.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%s: %s after %d attempts by %s\n", m.Value.Value, m.Value.Cause, m.Value.Attempts, m.Value.Consumer)
	}
	// Output:
	// {"ID":2,"Amount":20}: no such account after 3 attempts by orders/billing
}

// number is the part of an offset of backend/memory that counts the records. The other part says of which stream it is.
func number(o backend.Offset) backend.Offset {
	n, _, _ := strings.Cut(string(o), "@")
	return backend.Offset(n)
}

// Two streams as one, in the order of their records' times. Each keeps a place of its own.
func ExampleMerge() {
	ctx := context.Background()
	store := checkpoint.NewMemory()
	var shops []*consumer.Consumer[order]
	for i, name := range []string{"berlin", "paris"} {
		stream := memory.New()
		p, err := producer.New(ctx, stream, codec.JSON[order]())
		if err != nil {
			log.Fatal(err)
		}
		for n := range 2 {
			at := time.Date(2026, 1, 1, 12, 10*n+i, 0, 0, time.UTC)
			if err := p.SendRecord(ctx, producer.Record[order]{Value: order{ID: 10*n + i}, Time: at}); err != nil {
				log.Fatal(err)
			}
		}
		p.Close()
		c, err := consumer.New(stream, codec.JSON[order](), consumer.Checkpoint(store, name+"/audit"), consumer.StopAtTail())
		if err != nil {
			log.Fatal(err)
		}
		shops = append(shops, c)
	}
	for m, err := range consumer.Merge(ctx, shops...) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.Time.Format("15:04"), "order", m.Value.ID, "of shop", m.Stream)
	}
	// Output:
	// 12:00 order 0 of shop 0
	// 12:01 order 1 of shop 1
	// 12:10 order 10 of shop 0
	// 12:11 order 11 of shop 1
}
