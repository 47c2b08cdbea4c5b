package producer_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

type Order struct {
	ID    int    `json:"id"`
	Item  string `json:"item"`
	Cents int    `json:"cents"`
}

func Example() {
	ctx := context.Background()
	stream := memory.New() // or bolt, S2, Durable Streams: the rest stays as it is

	p, err := producer.New(ctx, stream, codec.JSON[Order]())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := p.Send(ctx, Order{1, "pencil", 120}, Order{2, "paper", 450}); err != nil {
		log.Fatal(err) // durable when Send returns nil
	}

	c, err := consumer.New(stream, codec.JSON[Order](), consumer.StopAtTail())
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.Value.Item, m.Value.Cents)
	}
	// Output:
	// pencil 120
	// paper 450
}

// Enqueue does not wait: the receipts say later whether and where each record is stored.
func ExampleProducer_Enqueue() {
	ctx := context.Background()
	p, err := producer.New(ctx, memory.New(), codec.String())
	if err != nil {
		log.Fatal(err)
	}
	var receipts []producer.Receipt
	for _, v := range []string{"a", "b", "c"} {
		r, err := p.Enqueue(ctx, v)
		if err != nil {
			log.Fatal(err)
		}
		receipts = append(receipts, r)
	}
	for _, r := range receipts {
		offset, err := r.Wait(ctx)
		fmt.Println(offset != "", err)
	}
	fmt.Println(p.Close())
	// Output:
	// true <nil>
	// true <nil>
	// true <nil>
	// <nil>
}

// A signal that ends the context of the program does not end what was accepted: Close has a budget of its own.
func ExampleProducer_Close() {
	ctx, signal := context.WithCancel(context.Background())
	stream := memory.New()
	p, err := producer.New(ctx, stream, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	if _, err := p.Enqueue(ctx, "accepted before the signal"); err != nil {
		log.Fatal(err)
	}
	signal()
	fmt.Println(p.Close(), stream.Len())
	// Output:
	// <nil> 1
}

// What a producer could not finish is offered to the next one.
func ExampleProducer_Unacked() {
	ctx := context.Background()
	stream := memory.New()
	broken := backendtest.NewFlakySink(stream,
		backendtest.Nth(backendtest.OnSend, 1, backendtest.DropBefore(errors.New("disk on fire"))))
	p, err := producer.New(ctx, broken, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	err = p.Send(ctx, "important")
	fmt.Println(errors.Is(err, backend.ErrIndeterminate))
	_ = p.Close()

	next, err := producer.New(ctx, stream, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	for r, maybeStored := range p.Unacked() {
		fmt.Printf("%s, may be stored: %v\n", r.Value, maybeStored)
		if _, err := next.EnqueueEncoded(ctx, r); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(next.Close(), stream.Len())
	// Output:
	// true
	// important, may be stored: true
	// <nil> 1
}

// The orders of an item go to one of four streams, in order.
func ExampleNewPartitioned() {
	ctx := context.Background()
	streams := []*memory.Stream{memory.New(), memory.New(), memory.New(), memory.New()}
	var sinks []backend.Sink
	for _, s := range streams {
		sinks = append(sinks, s)
	}
	item := func(o Order) string { return o.Item }
	p, err := producer.NewPartitioned(ctx, sinks, codec.JSON[Order](), item)
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := p.Send(ctx, Order{1, "pencil", 120}, Order{2, "paper", 450}, Order{3, "pencil", 130}); err != nil {
		log.Fatal(err)
	}
	for _, r := range streams[producer.Partition("pencil", len(streams))].Records() {
		fmt.Printf("%s\n", r.Value)
	}
	// Output:
	// {"id":1,"item":"pencil","cents":120}
	// {"id":3,"item":"pencil","cents":130}
}
