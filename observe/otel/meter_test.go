package otel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric/noop"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/observe/otel"
	"github.com/headrace/headrace/producer"
)

// A point is what a histogram holds for one set of attributes.
type point struct {
	count uint64
	sum   float64 // seconds
}

// histogram returns the points of a histogram by their error.type, which is "" for successes. It checks the other attributes.
func histogram(t *testing.T, reader *sdkmetric.ManualReader, name, operation string) map[string]point {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	points := map[string]point{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			h, ok := m.Data.(metricdata.Histogram[float64])
			if !ok || m.Name != name {
				continue
			}
			if m.Unit != "s" {
				t.Errorf("%s is in %q", name, m.Unit)
			}
			for _, p := range h.DataPoints {
				for key, want := range map[string]string{"messaging.system": "memory", "messaging.destination.name": "orders", "messaging.operation.name": operation} {
					if got, _ := p.Attributes.Value(attribute.Key(key)); got.AsString() != want {
						t.Errorf("%s: %s is %q, want %q", name, key, got.AsString(), want)
					}
				}
				if p.Bounds[0] != 0.005 {
					t.Errorf("%s has the bounds %v", name, p.Bounds)
				}
				kind, _ := p.Attributes.Value("error.type")
				points[kind.AsString()] = point{p.Count, p.Sum}
			}
		}
	}
	return points
}

func meter(t *testing.T) (*otel.Meter, *sdkmetric.ManualReader) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	m, err := otel.NewMeter("memory", "orders", otel.MeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))))
	if err != nil {
		t.Fatal(err)
	}
	return m, reader
}

func TestEveryBatchOfAProducerIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, reader := meter(t)
		refused := fmt.Errorf("bad value: %w", backend.ErrRejected)
		isBad := func(r *backend.Record) bool { return string(r.Value) == "bad" }
		sink := backendtest.NewFlakySink(memory.New(), backendtest.RefuseNamed(isBad, refused))
		p, err := producer.New(t.Context(), sink, codec.String(), m.Producer(), producer.Linger(20*time.Millisecond))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range []string{"a", "bad", "b"} {
			if _, err := p.Enqueue(t.Context(), v); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second) // the linger ends the batch
		}
		_ = p.Close() // behind Close, all hooks have run
		got := histogram(t, reader, "messaging.client.operation.duration", "send")
		if ok := got[""]; ok.count != 2 || ok.sum != 0.04 {
			t.Errorf("batches that were acknowledged: %+v, want 2 of 20 ms", ok)
		}
		delete(got, "")
		if len(got) != 1 {
			t.Errorf("batches that failed: %+v, want one", got)
		}
	})
}

func TestEveryAttemptOfAHandlerIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, reader := meter(t)
		stream := memory.New()
		p, err := producer.New(t.Context(), stream, codec.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Send(t.Context(), "a"), p.Close()); err != nil {
			t.Fatal(err)
		}
		c, err := consumer.New(stream, codec.String(), consumer.StopAtTail())
		if err != nil {
			t.Fatal(err)
		}
		attempts := 0
		err = c.Process(t.Context(), func(context.Context, consumer.Message[string]) error {
			time.Sleep(50 * time.Millisecond)
			switch attempts++; attempts {
			case 1:
				return backend.ErrTransient
			case 2:
				panic("second attempt")
			}
			return nil
		}, consumer.Use(otel.Measure[string](m)), consumer.RetryBackoff(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		got := histogram(t, reader, "messaging.process.duration", "process")
		one := point{1, 0.05}
		if len(got) != 3 || got[""] != one || got["panic"] != one || got["*errors.errorString"] != one {
			t.Errorf("%+v, want one success, one panic and one error of 50 ms each", got)
		}
	})
}

func TestAMeasuredAttemptTakesNoMemoryOfItsOwn(t *testing.T) {
	m, err := otel.NewMeter("memory", "orders", otel.MeterProvider(noop.NewMeterProvider()))
	if err != nil {
		t.Fatal(err)
	}
	handler := otel.Measure[string](m)(func(context.Context, consumer.Message[string]) error { return nil })
	ctx, msg := t.Context(), consumer.Message[string]{}
	if n := testing.AllocsPerRun(100, func() { _ = handler(ctx, msg) }); n != 0 {
		t.Errorf("%v allocations for each attempt", n)
	}
}
