package s2_test

import (
	"context"
	"errors"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// Typed records go into a stream, each exactly once, and come out of it. The server here is one in the process; with an
// account, s2.Environment returns the Config for s2.New, and nothing else changes.
func Example() {
	srv, err := s2test.Start(s2test.Basin("my-basin-1", true))
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx := context.Background()
	stream := srv.Client().Basin("my-basin-1").Stream("greetings", s2.Exclusive())

	p, err := producer.New(ctx, stream, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Send(ctx, "hello", "world"); err != nil { // durable when it returns
		log.Fatal(err)
	}
	if err := p.Close(); err != nil {
		log.Fatal(err)
	}
	c, err := consumer.New(stream, codec.String(), consumer.StopAtTail())
	if err != nil {
		log.Fatal(err)
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.Value)
	}
	// Output:
	// hello
	// world
}

func ExampleFence() {
	srv, err := s2test.Start(s2test.Basin("my-basin-1", true))
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx := context.Background()
	stream := srv.Client().Basin("my-basin-1").Stream("letters", s2.Fence(""))

	old, err := producer.New(ctx, stream, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	defer old.Close()
	fmt.Println(old.Send(ctx, "a"))
	successor, err := producer.New(ctx, stream, codec.String()) // claims the stream
	if err != nil {
		log.Fatal(err)
	}
	defer successor.Close()
	fmt.Println(successor.Send(ctx, "b"))
	fmt.Println(errors.Is(old.Send(ctx, "c"), backend.ErrFenced))
	// Output:
	// <nil>
	// <nil>
	// true
}

func ExampleStream_Append() {
	srv, err := s2test.Start(s2test.Basin("my-basin-1", true))
	if err != nil {
		log.Fatal(err)
	}
	defer srv.Close()
	ctx := context.Background()
	stream := srv.Client().Basin("my-basin-1").Stream("letters")

	first := uint64(0) // only if nothing is there yet
	for range 2 {
		got, err := stream.Append(ctx, []backend.Record{{Value: []byte("a")}, {Value: []byte("b")}}, s2.Condition{SeqNum: &first})
		fmt.Println(got.Start.SeqNum, got.End.SeqNum, err)
	}
	// Output:
	// 0 2 <nil>
	// 0 0 s2: append to my-basin-1/letters: conflict: status 412: the next sequence number is 2
}
