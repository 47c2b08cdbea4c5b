package producer_test

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/metrics"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

const (
	mixedBudget    = 16 << 20 // of each producer
	mixedBatchTime = 10 * time.Millisecond
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
	bubble(t, func(t *testing.T) {
		used := inUse{before: int64(heap())}
		worst := sendMixedSizes(t, producers, records, used.look)
		share := float64(used.peak) / float64(producers*mixedBudget)
		t.Logf("at most %.1f MiB in use, %.2f of the budgets, longest Enqueue %v", float64(used.peak)/(1<<20), share, worst)
		if !race && share > 1.2 { // the race detector needs memory of its own
			t.Errorf("the producers used %.2f of their budgets", share)
		}
		if worst > 2*mixedBatchTime {
			t.Errorf("an Enqueue waited %v, the store takes a batch in %v", worst, mixedBatchTime)
		}
	})
}

// The same records on the clock of the machine. The longest Enqueue is a figure for docs/performance.md: a busy machine makes the
// figure larger, so the test does not judge the figure.
func TestMixedSizesOnTheRealClock(t *testing.T) {
	if os.Getenv("HEADRACE_LONG") == "" {
		t.Skip("HEADRACE_LONG is not set: sends 7.7 GB")
	}
	t.Logf("longest Enqueue %v", sendMixedSizes(t, 16, 1_000_000, func() {}))
}

// sendMixedSizes sends the records, calls look after a few batches again and again, and returns the longest time in Enqueue.
func sendMixedSizes(t *testing.T, producers, records int, look func()) (worst time.Duration) {
	var stored, bytes, batches atomic.Int64
	sink := backend.Serial(backend.Limits{}, func(_ context.Context, _ uint64, recs []backend.Record) (backend.Ack, error) {
		time.Sleep(mixedBatchTime)
		if batches.Add(1)%16 == 0 {
			look()
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
		all.Go(func() { longest[i] = sendMixed(t, sink, uint64(i), records/producers, mixedBudget) })
	}
	all.Wait()
	t.Logf("%d records, %d MiB in %d batches", stored.Load(), bytes.Load()>>20, batches.Load())
	if n := int(stored.Load()); n != records {
		t.Errorf("%d records are stored, want %d", n, records)
	}
	return slices.Max(longest)
}

// inUse is the most memory in use, beside what was in use before the first look.
type inUse struct {
	mu     sync.Mutex
	before int64
	peak   int64
}

func (u *inUse) look() {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.peak = max(u.peak, live()-u.before)
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
