package memory_test

import (
	"context"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
)

func TestConformance(t *testing.T) {
	backendtest.Run(t, harness())
}

func TestConformanceWithSmallLimits(t *testing.T) {
	backendtest.Run(t, harness(memory.BatchRecords(3), memory.BatchBytes(300), memory.RecordBytes(120), memory.InFlight(1)))
}

func harness(opts ...memory.Option) backendtest.Harness {
	return backendtest.Harness{
		Open: func(testing.TB) backendtest.Target {
			s := memory.New(opts...)
			return backendtest.Target{
				Sink: s, Source: s,
				Trim:   func(before backend.Offset) error { return s.Trim(context.Background(), before) },
				Finish: func() error { return s.Seal(context.Background()) },
			}
		},
		Bubble:      true,
		OtherFormat: backend.Format{ContentType: "text/plain"},
		Headers:     true,
		Times:       time.Nanosecond,
		Offsets:     true,
		Dedup:       true,
		Last:        true,
		AtTime:      true,
	}
}
