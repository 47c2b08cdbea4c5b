// Package otel adds OpenTelemetry to producers and consumers: traces that go through the headers of records, the metrics of an
// [observe.Registry], and histograms of durations.
//
//	t := otel.NewTracer("s2", "orders")
//	err = otel.Send(ctx, t, p, order)
//	err = c.Process(ctx, handler, consumer.Use(otel.Handler[Order](t)))
//	err = otel.Metrics(reg)
//
//	m, err := otel.NewMeter("s2", "orders")
//	p, err := producer.New(ctx, sink, c, m.Producer())
//	err = c.Process(ctx, handler, consumer.Use(otel.Measure[Order](m)))
//
// Names and attributes follow the semantic conventions for messaging: a span "send orders" of the kind producer lasts until the
// records are durable, "create orders" until a record is accepted, and "process orders" of the kind consumer is one attempt of a
// handler. The context of the producer's span travels in the headers of each record, as the W3C headers traceparent and tracestate.
// A handler's span is a child of that span, in the same trace, and is linked to it.
//
// The store must keep headers. A store without headers refuses records that carry a trace.
package otel
