package otel_test

import (
	"context"
	"errors"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/observe"
	"github.com/headrace/headrace/observe/otel"
	"github.com/headrace/headrace/producer"
)

func tracer(t *testing.T) (*otel.Tracer, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans))
	return otel.NewTracer("memory", "orders", otel.TracerProvider(provider)), spans
}

func TestATraceGoesFromTheProducerToEachAttempt(t *testing.T) {
	tr, spans := tracer(t)
	stream := memory.New()
	p, err := producer.New(t.Context(), stream, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := otel.Send(t.Context(), tr, p, "a"); err != nil {
		t.Fatal(err)
	}
	c, err := consumer.New(stream, codec.String(), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	attempts := 0
	err = c.Process(t.Context(), func(ctx context.Context, m consumer.Message[string]) error {
		if attempts++; attempts == 1 {
			return errors.New("first attempt")
		}
		if attempts == 2 {
			panic("second attempt")
		}
		return nil
	}, consumer.Use(otel.Handler[string](tr)), consumer.RetryBackoff(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	got := spans.Ended()
	if len(got) != 4 {
		t.Fatalf("%d spans, want one of the producer and three attempts", len(got))
	}
	sent := got[0]
	if sent.Name() != "send orders" || sent.SpanKind() != trace.SpanKindProducer || sent.Status().Code != codes.Unset {
		t.Errorf("%s, %v, %v", sent.Name(), sent.SpanKind(), sent.Status())
	}
	wantAttributes(t, sent, map[string]string{
		"messaging.system": "memory", "messaging.destination.name": "orders", "messaging.operation.type": "send", "messaging.batch.message_count": "1",
	})
	for i, s := range got[1:] {
		if s.Name() != "process orders" || s.SpanKind() != trace.SpanKindConsumer || s.SpanContext().TraceID() != sent.SpanContext().TraceID() ||
			s.Parent().SpanID() != sent.SpanContext().SpanID() {
			t.Errorf("attempt %d: %s, %v, not a child of the producer's span", i+1, s.Name(), s.SpanKind())
		}
		if len(s.Links()) != 1 || s.Links()[0].SpanContext.SpanID() != sent.SpanContext().SpanID() {
			t.Errorf("attempt %d: links %v", i+1, s.Links())
		}
		if failed := s.Status().Code == codes.Error; failed != (i < 2) {
			t.Errorf("attempt %d: %v", i+1, s.Status())
		}
	}
}

func wantAttributes(t *testing.T, s sdktrace.ReadOnlySpan, want map[string]string) {
	t.Helper()
	set := attribute.NewSet(s.Attributes()...)
	for k, v := range want {
		if got, _ := set.Value(attribute.Key(k)); got.String() != v {
			t.Errorf("%s is %q, want %q", k, got.String(), v)
		}
	}
}

func TestEnqueueKeepsTheHeadersOfTheRecord(t *testing.T) {
	tr, spans := tracer(t)
	stream := memory.New()
	p, err := producer.New(t.Context(), stream, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	own := append(make(backend.Headers, 0, 8), backend.Header{Name: "own", Value: []byte("1")})
	if _, err := otel.Enqueue(t.Context(), tr, p, producer.Record[string]{Value: "a", Headers: own}); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if rest := own[:2]; rest[1].Name != "" {
		t.Error("the header was written into memory of the caller")
	}
	h := stream.Records()[0].Headers
	if v, _ := h.Lookup("own"); string(v) != "1" || len(h) != 2 {
		t.Errorf("headers %v", h)
	}
	span := trace.SpanContextFromContext(tr.Extract(context.Background(), h))
	if created := spans.Ended()[0]; created.Name() != "create orders" || span.SpanID() != created.SpanContext().SpanID() {
		t.Errorf("%s, and the record carries %v", created.Name(), span)
	}
}

func TestARefusedValueEndsItsSpanWithAnError(t *testing.T) {
	tr, spans := tracer(t)
	p, err := producer.New(t.Context(), memory.New(), codec.Validate(codec.String(), func(string) error { return errors.New("bad") }))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := otel.Send(t.Context(), tr, p, "a"); err == nil {
		t.Fatal("sent")
	}
	if s := spans.Ended(); len(s) != 1 || s[0].Status().Code != codes.Error {
		t.Errorf("%v", s)
	}
}

func TestNumbersOfTheRegistryAreCollected(t *testing.T) {
	reg := observe.NewRegistry()
	reader := sdkmetric.NewManualReader()
	if err := otel.Metrics(reg, otel.MeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))); err != nil {
		t.Fatal(err)
	}
	p, err := producer.New(t.Context(), memory.New(), codec.String(), reg.Producer("orders"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(t.Context(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil { // behind Close, all hooks have run
		t.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			if sum, ok := m.Data.(metricdata.Sum[float64]); ok && m.Name == "headrace.producer.records_acked" {
				if n, _ := sum.DataPoints[0].Attributes.Value("name"); sum.DataPoints[0].Value != 2 || n.AsString() != "orders" || !sum.IsMonotonic {
					t.Errorf("%+v", sum)
				}
				return
			}
		}
	}
	t.Error("headrace.producer.records_acked was not collected")
}
