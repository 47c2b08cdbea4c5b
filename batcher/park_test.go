package batcher_test

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/batcher"
)

func TestParkedTakerStartsOnceThereIsAReasonToTake(t *testing.T) {
	for name, reason := range map[string]func(*testing.T, *batcher.Batcher[int, struct{}]){
		"an element": func(t *testing.T, b *batcher.Batcher[int, struct{}]) { put(t, b, 1, 1) },
		"three elements": func(t *testing.T, b *batcher.Batcher[int, struct{}]) {
			put(t, b, 1, 1)
			put(t, b, 2, 1)
			put(t, b, 3, 1)
		},
		"the end": func(_ *testing.T, b *batcher.Batcher[int, struct{}]) { b.Close(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := batcher.New[int]()
				var started atomic.Int64
				if !b.Park(func() { started.Add(1) }) {
					t.Fatal("a batcher without work does not park its taker")
				}
				b.Resize(10, 10)
				b.Flush()
				b.Hurry()
				synctest.Wait()
				if n := started.Load(); n != 0 {
					t.Errorf("the taker has started %d times before there is anything to take", n)
				}
				reason(t, b)
				synctest.Wait()
				if n := started.Load(); n != 1 {
					t.Errorf("the taker has started %d times, want once", n)
				}
			})
		})
	}
}

func TestTakerDoesNotParkBesideWork(t *testing.T) {
	for name, work := range map[string]func(*testing.T, *batcher.Batcher[int, struct{}]){
		"an open batch":                func(t *testing.T, b *batcher.Batcher[int, struct{}]) { put(t, b, 1, 1) },
		"a batch that has ended":       func(t *testing.T, b *batcher.Batcher[int, struct{}]) { put(t, b, 1, 1); b.Flush() },
		"a batch that is not released": func(t *testing.T, b *batcher.Batcher[int, struct{}]) { put(t, b, 1, 1); take(t, b) },
		"the end":                      func(_ *testing.T, b *batcher.Batcher[int, struct{}]) { b.Close(nil) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := batcher.New[int]()
				work(t, b)
				if b.Park(func() { t.Error("the taker has started") }) {
					t.Error("the taker has parked")
				}
			})
		})
	}
}

// A taker that parks whenever it can misses no element, although callers put elements at the same moments.
func TestTakerThatParksMissesNothing(t *testing.T) {
	const callers, each = 4, 500
	b := batcher.New[int](batcher.Linger(0))
	ended, taken := make(chan struct{}), 0
	var take func()
	take = func() {
		for !b.Park(take) {
			batch, err := b.Take(t.Context())
			if err != nil {
				if !errors.Is(err, batcher.ErrClosed) {
					t.Error(err)
				}
				close(ended)
				return
			}
			taken += len(batch.Items)
			b.Release(batch)
		}
	}
	take()
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for i := range each {
				put(t, b, i, 1)
			}
		})
	}
	all.Wait()
	b.Close(nil)
	<-ended
	if taken != callers*each {
		t.Errorf("%d elements were taken, want %d", taken, callers*each)
	}
}
