package producer_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// Several producers send records of 20 bytes to 64 KiB to a store that needs 10 ms for a batch. So all buffers are full. Then the
// memory in use must stay near the sum of the buffers, and an Enqueue must not wait much longer than the store needs for one
// batch. On the fake clock only the store takes time, so a slow machine measures the same. HEADRACE_LONG=1 sends a million records
// through 16 producers instead of 20,000 through four.
func TestMixedSizesStayWithinTheBudgets(t *testing.T) {
	producers, records := 4, 20_000
	if os.Getenv("HEADRACE_LONG") != "" {
		producers, records = 16, 1_000_000
	}
	const budget, batchTime = 16 << 20, 10 * time.Millisecond
	bubble(t, func(t *testing.T) {
		before := heap()
		var stored, bytes, batches atomic.Int64
		var measuring sync.Mutex
		var peak int64
		sink := backend.Serial(backend.Limits{}, func(_ context.Context, _ uint64, recs []backend.Record) (backend.Ack, error) {
			time.Sleep(batchTime)
			if batches.Add(1)%16 == 0 {
				measuring.Lock()
				peak = max(peak, live()-int64(before))
				measuring.Unlock()
			}
			for _, r := range recs {
				bytes.Add(int64(len(r.Value)))
			}
			stored.Add(int64(len(recs)))
			return backend.Ack{}, nil
		})
		longest := make([]time.Duration, producers)
		var all sync.WaitGroup
		for i := range producers {
			all.Go(func() { longest[i] = sendMixed(t, sink, uint64(i), records/producers, budget) })
		}
		all.Wait()
		worst := time.Duration(0)
		for _, d := range longest {
			worst = max(worst, d)
		}
		share := float64(peak) / float64(producers*budget)
		t.Logf("%d records, %d MiB in %d batches: at most %.1f MiB in use, %.2f of the budgets, longest Enqueue %v",
			stored.Load(), bytes.Load()>>20, batches.Load(), float64(peak)/(1<<20), share, worst)
		if !race && share > 1.2 { // the race detector needs memory of its own
			t.Errorf("the producers used %.2f of their budgets", share)
		}
		if worst > 2*batchTime {
			t.Errorf("an Enqueue waited %v, the store takes a batch in %v", worst, batchTime)
		}
		if n := int(stored.Load()); n != records {
			t.Errorf("%d records are stored, want %d", n, records)
		}
	})
}

// sendMixed sends records whose sizes are spread evenly over the powers of two, and returns the longest time in Enqueue.
func sendMixed(t *testing.T, sink backend.Sink, seed uint64, records, budget int) (longest time.Duration) {
	p, err := producer.New(t.Context(), sink, codec.Bytes(), producer.BufferBytes(budget), producer.DrainTimeout(time.Hour))
	if err != nil {
		t.Error(err)
		return 0
	}
	r := rand.New(rand.NewPCG(seed, 1))
	const least, most = 20, 64 << 10
	value := make([]byte, most)
	for range records {
		size := int(least * math.Pow(most/least, r.Float64()))
		begun := time.Now()
		if _, err := p.Enqueue(t.Context(), value[:size]); err != nil {
			t.Error(err)
			break
		}
		longest = max(longest, time.Since(begun))
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	return longest
}

// live collects the garbage and returns the bytes that were found in use. Unlike heap it does not count what was allocated
// since, so it may be called while the producers run.
func live() int64 {
	runtime.GC()
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return int64(sample[0].Value.Uint64())
}
