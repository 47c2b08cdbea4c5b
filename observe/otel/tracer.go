package otel

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

const scope = "github.com/headrace/headrace/observe/otel"

// A Tracer makes the spans of one stream. It may be used from many goroutines.
type Tracer struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	stream     string
	attributes []attribute.KeyValue
}

// NewTracer returns a Tracer. system names the kind of store, for example "s2", and stream the stream: they become the attributes
// messaging.system and messaging.destination.name.
func NewTracer(system, stream string, opts ...Option) *Tracer {
	return &Tracer{
		tracer: configOf(opts).tracers.Tracer(scope), propagator: propagation.TraceContext{}, stream: stream,
		attributes: streamAttributes(system, stream),
	}
}

// start begins a span for an operation: its name, its type and its kind as the conventions give them.
func (t *Tracer) start(ctx context.Context, name string, operation attribute.KeyValue, kind trace.SpanKind, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	opts = append(opts, trace.WithSpanKind(kind), trace.WithAttributes(t.attributes...),
		trace.WithAttributes(semconv.MessagingOperationName(name), operation))
	return t.tracer.Start(ctx, name+" "+t.stream, opts...)
}

// end ends a span, with the error of its operation.
func end(span trace.Span, err error) {
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		span.SetAttributes(semconv.ErrorType(err))
	}
	span.End()
}

// Send is [producer.Producer.SendRecord] in a span that lasts until the values are durable. Every record carries the context of the
// span.
func Send[T any](ctx context.Context, t *Tracer, p *producer.Producer[T], vs ...T) error {
	ctx, span := t.start(ctx, "send", semconv.MessagingOperationTypeSend, trace.SpanKindProducer,
		trace.WithAttributes(semconv.MessagingBatchMessageCount(len(vs))))
	headers := t.Inject(ctx, nil)
	records := make([]producer.Record[T], len(vs))
	for i, v := range vs {
		records[i] = producer.Record[T]{Value: v, Headers: headers}
	}
	err := p.SendRecord(ctx, records...)
	end(span, err)
	return err
}

// Enqueue is [producer.Producer.EnqueueRecord] in a span that lasts until the record is accepted. The record carries the context of
// the span, behind its own headers.
func Enqueue[T any](ctx context.Context, t *Tracer, p *producer.Producer[T], r producer.Record[T]) (producer.Receipt, error) {
	ctx, span := t.start(ctx, "create", semconv.MessagingOperationTypeCreate, trace.SpanKindProducer)
	r.Headers = t.Inject(ctx, r.Headers)
	receipt, err := p.EnqueueRecord(ctx, r)
	end(span, err)
	return receipt, err
}

// Handler returns middleware for [consumer.Use]: each attempt of the handler has a span, in the trace of the record. A panic ends
// the span with an error and passes.
func Handler[T any](t *Tracer) func(consumer.Handler[T]) consumer.Handler[T] {
	return func(next consumer.Handler[T]) consumer.Handler[T] {
		return func(ctx context.Context, m consumer.Message[T]) (err error) {
			ctx = t.Extract(ctx, m.Headers)
			ctx, span := t.start(ctx, "process", semconv.MessagingOperationTypeProcess, trace.SpanKindConsumer,
				trace.WithLinks(trace.LinkFromContext(ctx)), trace.WithAttributes(attribute.String("headrace.offset", string(m.Offset))))
			defer func() {
				if p := recover(); p != nil {
					span.SetStatus(codes.Error, "panic")
					span.End()
					panic(p)
				}
				end(span, err)
			}()
			return next(ctx, m)
		}
	}
}

// Inject returns the headers with the context of the span in ctx behind them. Without a span Inject returns the headers. The slice
// that was given is not written to, because records may share it.
func (t *Tracer) Inject(ctx context.Context, h backend.Headers) backend.Headers {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return h
	}
	c := carrier(h[:len(h):len(h)])
	t.propagator.Inject(ctx, &c)
	return backend.Headers(c)
}

// Extract returns ctx with the context of the span that the headers of a record carry, for the body of a Messages loop. Headers
// without a valid context change nothing.
func (t *Tracer) Extract(ctx context.Context, h backend.Headers) context.Context {
	c := carrier(h)
	return t.propagator.Extract(ctx, &c)
}

// A carrier lets the propagator read and append headers.
type carrier backend.Headers

func (c *carrier) Get(name string) string {
	v, _ := backend.Headers(*c).Lookup(name)
	return string(v)
}

func (c *carrier) Set(name, value string) {
	*c = append(*c, backend.Header{Name: name, Value: []byte(value)})
}

func (c *carrier) Keys() []string {
	var names []string
	for _, h := range *c {
		names = append(names, h.Name)
	}
	return names
}
