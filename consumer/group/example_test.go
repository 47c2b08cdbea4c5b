package group_test

import (
	"context"
	"fmt"
	"log"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group"
	"github.com/headrace/headrace/consumer/group/lease"
	"github.com/headrace/headrace/producer"
)

// Two streams are shared by the members of a group. This program is the only member, so it works on both.
func Example() {
	ctx, stop := context.WithCancel(context.Background())
	streams := map[string]*memory.Stream{"orders-0": memory.New(), "orders-1": memory.New()}
	for name, s := range streams {
		p, err := producer.New(ctx, s, codec.String())
		if err != nil {
			log.Fatal(err)
		}
		if err := p.Send(ctx, "a record of "+name); err != nil {
			log.Fatal(err)
		}
		_ = p.Close()
	}

	open := func(stream string) backend.Source { return streams[stream] }
	g, err := group.New(lease.NewMemory(), "billing", group.Fixed(open, "orders-0", "orders-1"), codec.String())
	if err != nil {
		log.Fatal(err)
	}
	handled := make(chan string)
	go func() {
		err := g.Process(ctx, func(ctx context.Context, stream string, m consumer.Message[string]) error {
			handled <- stream + ": " + m.Value
			return nil
		})
		fmt.Println(err)
		close(handled)
	}()
	for range streams {
		fmt.Println(<-handled)
	}
	stop()
	<-handled
	// Unordered output:
	// orders-0: a record of orders-0
	// orders-1: a record of orders-1
	// context canceled
}
