package otel

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/semconv/v1.43.0/messagingconv"

	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A Meter measures the durations of one stream in the two histograms of the semantic conventions, in seconds:
//
//	messaging.client.operation.duration  a batch of a producer, from its first record to its ack or its failure
//	messaging.process.duration           one attempt of a handler
//
// Both have the attributes messaging.system, messaging.destination.name and messaging.operation.name; a failure has error.type
// too. A measurement takes no memory besides what the SDK takes, unless the batch or the attempt has failed. A Meter may be used
// from many goroutines.
type Meter struct {
	publish, process duration
}

// NewMeter returns a Meter. system and stream are those of [NewTracer].
func NewMeter(system, stream string, opts ...Option) (*Meter, error) {
	c := configOf(opts)
	meter := c.meters.Meter(scope)
	publish, err := messagingconv.NewClientOperationDuration(meter, bounds)
	if err != nil {
		return nil, err
	}
	process, err := messagingconv.NewProcessDuration(meter, bounds)
	if err != nil {
		return nil, err
	}
	attributes := streamAttributes(system, stream)
	return &Meter{
		publish: newDuration(publish.Inst(), append(attributes, semconv.MessagingOperationName("send"), semconv.MessagingOperationTypeSend)),
		process: newDuration(process.Inst(), append(attributes, semconv.MessagingOperationName("process"))),
	}, nil
}

// bounds are the buckets that the conventions advise. The default buckets of the SDK are for milliseconds: almost every duration
// in seconds would be in the first one.
var bounds = metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)

// Producer returns an option for [producer.New]: it measures every batch.
func (m *Meter) Producer() producer.Option {
	// A hook has no context. Contexts would only connect a measurement with a span, and a batch holds records of many spans.
	measure := func(e producer.BatchEvent) { m.publish.record(context.Background(), e.Elapsed, e.Err) }
	return producer.Observe(producer.Hooks{BatchAcked: measure, BatchFailed: measure})
}

// Measure returns middleware for [consumer.Use]: it measures every attempt of a handler. A panic counts as a failure and passes.
func Measure[T any](m *Meter) func(consumer.Handler[T]) consumer.Handler[T] {
	return func(next consumer.Handler[T]) consumer.Handler[T] {
		return func(ctx context.Context, msg consumer.Message[T]) (err error) {
			begun := time.Now()
			returned := false
			defer func() {
				if !returned {
					m.process.add(ctx, time.Since(begun), m.process.with(attribute.String("error.type", "panic")))
					return
				}
				m.process.record(ctx, time.Since(begun), err)
			}()
			err = next(ctx, msg)
			returned = true
			return err
		}
	}
}

// A duration is a histogram with the attributes of one stream and operation.
type duration struct {
	metric.Float64Histogram
	attributes []attribute.KeyValue
	succeeded  []metric.RecordOption // made once, because making it for each measurement would take memory
}

func newDuration(h metric.Float64Histogram, attributes []attribute.KeyValue) duration {
	d := duration{Float64Histogram: h, attributes: attributes}
	d.succeeded = d.with()
	return d
}

// with returns the options for the attributes of d and some more.
func (d *duration) with(more ...attribute.KeyValue) []metric.RecordOption {
	all := append(d.attributes[:len(d.attributes):len(d.attributes)], more...)
	return []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(all...))}
}

func (d *duration) record(ctx context.Context, took time.Duration, err error) {
	if err != nil {
		d.add(ctx, took, d.with(semconv.ErrorType(err)))
		return
	}
	d.add(ctx, took, d.succeeded)
}

func (d *duration) add(ctx context.Context, took time.Duration, opts []metric.RecordOption) {
	d.Record(ctx, took.Seconds(), opts...)
}

// streamAttributes are the attributes of everything that is told of a stream. The capacity is exact, so that several callers can
// append to the slice.
func streamAttributes(system, stream string) []attribute.KeyValue {
	return []attribute.KeyValue{semconv.MessagingSystemKey.String(system), semconv.MessagingDestinationName(stream)}
}
