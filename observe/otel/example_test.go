package otel_test

import (
	"context"
	"fmt"
	"log"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/observe/otel"
	"github.com/headrace/headrace/producer"
)

func ExampleHandler() {
	ctx := context.Background()
	stream := memory.New()
	t := otel.NewTracer("memory", "orders", otel.TracerProvider(sdktrace.NewTracerProvider()))

	p, err := producer.New(ctx, stream, codec.String())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := otel.Send(ctx, t, p, "an order"); err != nil {
		log.Fatal(err)
	}

	c, err := consumer.New(stream, codec.String(), consumer.StopAtTail())
	if err != nil {
		log.Fatal(err)
	}
	err = c.Process(ctx, func(ctx context.Context, m consumer.Message[string]) error {
		fmt.Println(m.Value, "has a trace:", trace.SpanContextFromContext(ctx).HasTraceID())
		return nil
	}, consumer.Use(otel.Handler[string](t)))
	if err != nil {
		log.Fatal(err)
	}
	// Output: an order has a trace: true
}

func ExampleNewMeter() {
	ctx := context.Background()
	stream := memory.New()
	m, err := otel.NewMeter("memory", "orders") // measures for the global MeterProvider
	if err != nil {
		log.Fatal(err)
	}
	p, err := producer.New(ctx, stream, codec.String(), m.Producer())
	if err != nil {
		log.Fatal(err)
	}
	defer p.Close()
	if err := p.Send(ctx, "an order"); err != nil {
		log.Fatal(err)
	}
	c, err := consumer.New(stream, codec.String(), consumer.StopAtTail())
	if err != nil {
		log.Fatal(err)
	}
	err = c.Process(ctx, func(_ context.Context, m consumer.Message[string]) error {
		fmt.Println(m.Value)
		return nil
	}, consumer.Use(otel.Measure[string](m)))
	if err != nil {
		log.Fatal(err)
	}
	// Output: an order
}
