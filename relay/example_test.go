package relay_test

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
	"github.com/headrace/headrace/relay"
)

// A relay that is run again copies nothing twice.
func ExampleRun() {
	ctx := context.Background()
	source := memory.New()
	p, err := producer.New(ctx, source, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	if err := p.Send(ctx, "a", "b"); err != nil {
		log.Fatal(err)
	}
	if err := p.Close(); err != nil {
		log.Fatal(err)
	}

	server, err := durablestreamstest.Start()
	if err != nil {
		log.Fatal(err)
	}
	defer server.Close()
	target := server.Client().Stream("orders")
	if _, err := target.Create(ctx, "application/octet-stream"); err != nil {
		log.Fatal(err)
	}
	places := checkpoint.NewMemory()
	for range 2 {
		if err := relay.Run(ctx, source, target, places, "orders", relay.StopAtTail(), relay.Format(codec.Bytes().Format())); err != nil {
			log.Fatal(err)
		}
	}

	c, err := consumer.New(target, codec.String(), consumer.StopAtTail())
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
	// a
	// b
}
