package producer_test

import (
	"context"
	"errors"
	"math"
	"runtime"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// A sink that has stalled must not make the producer hold more than it was given: the heap is measured, not counted. On the fake
// clock no batch lingers while records come, so all batches are full, and a slow machine measures the same.
func TestAStalledSinkHoldsNoMoreThanTwiceTheBudget(t *testing.T) {
	const budget = 8 << 20
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(memory.InFlight(math.MaxInt)), backendtest.Nth(backendtest.OnOpen, 1, backendtest.Stall()))
		p, err := producer.New(t.Context(), sink, codec.Bytes(), producer.BufferBytes(budget), producer.DrainTimeout(0),
			producer.AckTimeout(0))
		if err != nil {
			t.Fatal(err)
		}
		before := heap()
		value := make([]byte, 100)
		accepted := 0
		for range 1_000_000 {
			_, err := p.TryEnqueue(value)
			if err == nil {
				accepted++
			} else if !errors.Is(err, producer.ErrFull) {
				t.Fatal(err)
			} else if accepted > 0 && p.Stats().BufferedBytes < budget/2 {
				t.Fatalf("full at %d bytes", p.Stats().BufferedBytes)
			}
		}
		held := int(heap() - before)
		t.Logf("%d of 1,000,000 records accepted, %.1f MiB held, the budget is 8 MiB", accepted, float64(held)/(1<<20))
		if held > 2*budget {
			t.Errorf("%d bytes held, more than twice the budget of %d", held, budget)
		}
		if err := p.Close(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("close: %v", err)
		}
	})
}

// Times and headers take memory of their own beside the records, and count against the budget. Otherwise small records with times
// would take a third more than the budget.
func TestRecordsWithTimesAndHeadersStayWithinTheBudget(t *testing.T) {
	const budget = 8 << 20
	for name, r := range map[string]producer.Record[[]byte]{
		"a time":               {Value: []byte("v"), Time: time.Unix(1, 0)},
		"a time and a header":  {Value: []byte("v"), Time: time.Unix(1, 0), Headers: backend.Headers{{Name: "n", Value: []byte("v")}}},
		"neither of them":      {Value: []byte("v")},
		"a header of 64 bytes": {Value: []byte("v"), Headers: backend.Headers{{Name: "n", Value: make([]byte, 64)}}},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sink := backendtest.NewFlakySink(memory.New(memory.InFlight(math.MaxInt)), backendtest.Nth(backendtest.OnOpen, 1, backendtest.Stall()))
				before := heap()
				p := openBytes(t, sink, producer.BufferBytes(budget), producer.DrainTimeout(0), producer.AckTimeout(0))
				var err error
				for err == nil {
					_, err = p.TryEnqueueRecord(r)
				}
				if !errors.Is(err, producer.ErrFull) {
					t.Fatal(err)
				}
				time.Sleep(time.Second) // the session takes every batch
				held := float64(heap()-before) / budget
				t.Logf("%.2f of the budget held", held)
				if !race && held > 1.2 { // the race detector needs memory of its own
					t.Errorf("%.2f of the budget held", held)
				}
				_ = p.Close() // records are left
			})
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC() // what waits for reuse is let go by the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestEnqueueAllocatesNothingPerRecord(t *testing.T) {
	if race {
		t.Skip("the race detector makes sync.Pool forget at random")
	}
	limits := backend.Limits{Size: func(value []byte, headers backend.Headers, _ time.Time) (int, error) {
		return len(value) + len(headers), nil
	}}
	p, err := producer.New(t.Context(), backendtest.Discard(limits), codec.Bytes(), producer.Linger(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	value := make([]byte, 100)
	const records = 10_000 // a batch, by its default
	round := func() {
		for range records {
			if _, err := p.Enqueue(t.Context(), value); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	round()
	if n := testing.AllocsPerRun(10, round); n > records/200 {
		t.Errorf("%v allocations for %d records, want next to none: a few for their batch", n, records)
	}
	closeErr := p.Close()
	if closeErr != nil {
		t.Error(closeErr)
	}
}
