package backendtest_test

import (
	"context"
	"math"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
)

// The whole of what a backend has to write.
func TestMemory(t *testing.T) {
	backendtest.Run(t, memoryHarness(true))
}

func TestMemoryOutsideOfABubble(t *testing.T) {
	backendtest.Run(t, memoryHarness(false))
}

func TestMemoryWithSmallLimits(t *testing.T) {
	backendtest.Run(t, memoryHarness(true, memory.BatchRecords(3), memory.BatchBytes(300), memory.RecordBytes(120), memory.InFlight(1)))
}

func TestMemoryWithoutLimits(t *testing.T) {
	backendtest.Run(t, memoryHarness(true,
		memory.BatchRecords(math.MaxInt), memory.BatchBytes(math.MaxInt), memory.RecordBytes(math.MaxInt), memory.InFlight(math.MaxInt)))
}

func memoryHarness(bubble bool, opts ...memory.Option) backendtest.Harness {
	return backendtest.Harness{
		Open: func(t testing.TB) backendtest.Target {
			s := memory.New(opts...)
			return backendtest.Target{
				Sink: s, Source: s,
				Trim:   func(before backend.Offset) error { return s.Trim(context.Background(), before) },
				Finish: func() error { return s.Seal(context.Background()) },
			}
		},
		Bubble:      bubble,
		OtherFormat: backend.Format{ContentType: "text/plain"},
		Headers:     true,
		Times:       time.Nanosecond,
		Offsets:     true,
		Dedup:       true,
		Last:        true,
		AtTime:      true,
	}
}
