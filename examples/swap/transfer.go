package main

import (
	"context"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A Payment is a record of the stream.
type Payment struct {
	Cents int `json:"cents"`
}

// Transfer appends payments to a stream and returns the sum of all payments in the stream. Transfer does not know the
// backend of the stream.
func Transfer(ctx context.Context, stream backend.Stream, cents ...int) (total int, err error) {
	p, err := producer.New(ctx, stream, codec.JSON[Payment]())
	if err != nil {
		return 0, err
	}
	defer p.Close()
	for _, c := range cents {
		if _, err := p.Enqueue(ctx, Payment{Cents: c}); err != nil {
			return 0, err
		}
	}
	if err := p.Flush(ctx); err != nil { // from here on all payments are durable
		return 0, err
	}

	c, err := consumer.New(stream, codec.JSON[Payment](), consumer.StopAtTail())
	if err != nil {
		return 0, err
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return 0, err
		}
		total += m.Value.Cents
	}
	return total, nil
}
