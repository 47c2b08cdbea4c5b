package batcher_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/batcher"
)

const each = 8 // what an int counts against BufferBytes beside the bytes given

func put[C any](t *testing.T, b *batcher.Batcher[int, C], e, size int) *batcher.Batch[int, C] {
	t.Helper()
	batch, _, err := b.Put(t.Context(), &e, size, size)
	if err != nil {
		t.Errorf("put %d: %v", e, err) // from any goroutine
		return nil
	}
	return batch
}

func take[C any](t *testing.T, b *batcher.Batcher[int, C]) *batcher.Batch[int, C] {
	t.Helper()
	batch, err := b.Take(t.Context())
	if err != nil {
		t.Fatalf("take: %v", err)
	}
	return batch
}

func want(t *testing.T, b *batcher.Batch[int, struct{}], why batcher.Cause, items ...int) {
	t.Helper()
	if !slices.Equal(b.Items, items) || b.Cause != why {
		t.Errorf("took %v (%v), want %v (%v)", b.Items, b.Cause, items, why)
	}
}

func TestLingerRunsFromTheFirstElement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.Linger(10 * time.Millisecond))
		began := time.Now()
		var wg sync.WaitGroup
		defer wg.Wait()
		wg.Go(func() {
			for i := range 5 { // each within the linger of the one before: a sliding linger would take them all
				put(t, b, i, 1)
				<-time.After(4 * time.Millisecond)
			}
		})
		want(t, take(t, b), batcher.CauseLinger, 0, 1, 2)
		if since := time.Since(began); since != 10*time.Millisecond {
			t.Errorf("the batch was due after %v, want 10ms", since)
		}
	})
}

func TestFullNeverLingers(t *testing.T) {
	for name, opt := range map[string]batcher.Option{
		"records": batcher.BatchRecords(3), "bytes": batcher.BatchBytes(30),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := batcher.New[int](batcher.Linger(time.Hour), opt)
				began := time.Now()
				for i := range 6 {
					put(t, b, i, 10)
				}
				want(t, take(t, b), batcher.CauseFull, 0, 1, 2)
				want(t, take(t, b), batcher.CauseFull, 3, 4, 5)
				if since := time.Since(began); since != 0 {
					t.Errorf("full batches took %v", since)
				}
			})
		})
	}
}

func TestAnElementLargerThanABatchGoesAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.Linger(time.Hour), batcher.BatchBytes(30))
		put(t, b, 0, 10)
		put(t, b, 1, 100)
		put(t, b, 2, 10)
		b.Flush()
		want(t, take(t, b), batcher.CauseFull, 0)
		want(t, take(t, b), batcher.CauseFull, 1)
		want(t, take(t, b), batcher.CauseFlush, 2)
	})
}

func TestAWantedBatchDoesNotLingerWhileNothingIsOnItsWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.Linger(time.Hour))
		began := time.Now()
		b.Want(put(t, b, 1, 1))
		first := take(t, b)
		want(t, first, batcher.CauseWanted, 1)

		// While that one is on its way those who wait share the next one, which goes when the way is free.
		b.Want(put(t, b, 2, 1))
		b.Want(put(t, b, 3, 1))
		go func() {
			<-time.After(time.Second)
			b.Release(first)
		}()
		want(t, take(t, b), batcher.CauseWanted, 2, 3)
		if since := time.Since(began); since != time.Second {
			t.Errorf("the second batch went after %v, want the second that the first was on its way", since)
		}
	})
}

func TestABatchThatBlocksACallerDoesNotLinger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.Linger(time.Hour), batcher.BufferBytes(2*(10+each)))
		began := time.Now()
		put(t, b, 0, 10)
		put(t, b, 1, 10)
		go put(t, b, 2, 10)
		first := take(t, b)
		want(t, first, batcher.CauseFull, 0, 1)
		b.Release(first)
		synctest.Wait()
		b.Flush()
		want(t, take(t, b), batcher.CauseFlush, 2)
		if since := time.Since(began); since != 0 {
			t.Errorf("took %v, want no linger while a caller is blocked", since)
		}
	})
}

func TestRoomIsReservedBeforeAcceptance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const budget = 10 * (100 + each)
		b := batcher.New[int](batcher.BufferBytes(budget), batcher.Linger(0))
		var wg sync.WaitGroup
		for g := range 50 {
			wg.Go(func() {
				for i := range 20 {
					put(t, b, g*100+i, 100)
				}
			})
		}
		taken := 0
		for taken < 50*20 {
			batch := take(t, b)
			if _, bytes := b.Held(); bytes > budget {
				t.Fatalf("%d bytes held, the budget is %d", bytes, budget)
			}
			taken += len(batch.Items)
			b.Release(batch)
		}
		wg.Wait()
		if n, bytes := b.Held(); n != 0 || bytes != 0 {
			t.Errorf("%d elements and %d bytes held after the last release", n, bytes)
		}
	})
}

func TestBlockedCallersAreServedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.BufferBytes(100+each), batcher.BatchRecords(1))
		put(t, b, 0, 40)
		for i, size := range []int{100, 40, 100} { // the 40 would fit, but must not starve the 100 before it
			go put(t, b, i+1, size)
			synctest.Wait()
		}
		for i := range 4 {
			batch := take(t, b)
			want(t, batch, batcher.CauseFull, i)
			b.Release(batch)
			synctest.Wait()
		}
	})
}

func TestAFullBudgetFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.BufferBytes(100 + each))
		put(t, b, 1, 100)
		if _, _, err := b.TryPut(new(2), 1, 1); !errors.Is(err, batcher.ErrFull) {
			t.Errorf("TryPut: %v, want ErrFull", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, _, err := b.Put(ctx, new(2), 1, 1)
		if !errors.Is(err, batcher.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Put: %v, want ErrFull and the context's error", err)
		}
		if _, _, err := b.Put(t.Context(), new(3), 101, 101); !errors.Is(err, batcher.ErrTooLarge) {
			t.Errorf("Put of more than the budget: %v, want ErrTooLarge", err)
		}
		first := take(t, b)
		want(t, first, batcher.CauseLinger, 1)
		b.Release(first)
		put(t, b, 4, 1) // those that failed left nothing behind
		want(t, take(t, b), batcher.CauseLinger, 4)
	})
}

func TestOneWhoLeavesTheQueueLetsThoseBehindHimIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.BufferBytes(100 + each))
		put(t, b, 1, 50)
		ctx, leave := context.WithCancel(t.Context())
		go b.Put(ctx, new(2), 100, 100)
		synctest.Wait()
		done := make(chan struct{})
		go func() {
			put(t, b, 3, 10) // would fit, but is behind
			close(done)
		}()
		synctest.Wait()
		leave()
		<-done
	})
}

func TestFlushCoversWhatWasPutBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.Linger(time.Hour))
		if last := b.Flush(); last != nil {
			t.Errorf("Flush of nothing returned %v", last.Items)
		}
		batch := put(t, b, 1, 1)
		if last := b.Flush(); last != batch {
			t.Error("Flush did not return the batch just put to")
		}
		put(t, b, 2, 1)
		want(t, take(t, b), batcher.CauseFlush, 1)
	})
}

func TestHurryEndsWhatIsBeingFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.Linger(time.Hour))
		b.Hurry() // of nothing: must not hurry what comes
		put(t, b, 1, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := b.Take(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("took a batch within its linger: %v", err)
		}
		b.Hurry()
		want(t, take(t, b), batcher.CauseFull, 1)
	})
}

func TestResizeHoldsForWhatComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.Linger(time.Hour), batcher.BatchRecords(10))
		for i := range 3 {
			put(t, b, i, 1)
		}
		b.Resize(2, 100)
		want(t, take(t, b), batcher.CauseFull, 0, 1, 2)
		for i := range 2 {
			put(t, b, i, 1)
		}
		want(t, take(t, b), batcher.CauseFull, 0, 1)
	})
}

func TestCloseRefusesAndHandsOutTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.Linger(time.Hour), batcher.BufferBytes(100+each))
		put(t, b, 1, 100)
		cause := errors.New("no more")
		blocked := make(chan error)
		go func() {
			_, _, err := b.Put(t.Context(), new(2), 1, 1)
			blocked <- err
		}()
		synctest.Wait()
		b.Close(cause)
		b.Close(nil) // the first counts
		if err := <-blocked; err != cause {
			t.Errorf("a blocked Put returned %v, want the cause", err)
		}
		if _, _, err := b.Put(t.Context(), new(3), 1, 1); err != cause {
			t.Errorf("Put after Close: %v, want the cause", err)
		}
		want(t, take(t, b), batcher.CauseClose, 1)
		if _, err := b.Take(t.Context()); err != cause {
			t.Errorf("Take after the last: %v, want the cause", err)
		}
	})
}

func TestAFullBatchEndedForThatWhoeverNoticesFirst(t *testing.T) {
	for _, end := range []func(*batcher.Batcher[int, struct{}]){
		func(b *batcher.Batcher[int, struct{}]) {}, // Take itself
		func(b *batcher.Batcher[int, struct{}]) { b.Flush() },
		func(b *batcher.Batcher[int, struct{}]) { b.Close(nil) },
	} {
		b := batcher.New[int](batcher.BatchRecords(2), batcher.Linger(time.Hour))
		put(t, b, 1, 1)
		put(t, b, 2, 1)
		end(b)
		want(t, take(t, b), batcher.CauseFull, 1, 2)
	}
}

func TestKeepIsCalledForEachElementUnderItsBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var kept []int
		b := batcher.NewWith(func(b *batcher.Batch[int, string]) {
			kept = append(kept, b.Items[len(b.Items)-1])
			if len(b.Items) == 1 {
				b.Companion = "first"
			}
		}, batcher.BatchRecords(2))
		for i := range 3 {
			if batch := put(t, b, i, 1); batch.Companion != "first" {
				t.Errorf("element %d: Companion is %v", i, batch.Companion)
			}
		}
		if !slices.Equal(kept, []int{0, 1, 2}) {
			t.Errorf("kept %v", kept)
		}
	})
}

func TestRecycledMemoryServesTheNextBatchAndTheRoomStaysReserved(t *testing.T) {
	b := batcher.New[int](batcher.BatchRecords(2))
	for i := range 4 {
		put(t, b, i, 1)
	}
	first := take(t, b)
	items := first.Items
	b.Recycle(first)
	b.Recycle(first) // does nothing
	if first.Items != nil || items[0] != 0 || items[1] != 0 {
		t.Errorf("recycled, and the batch still has %v of %v", first.Items, items)
	}
	want(t, take(t, b), batcher.CauseFull, 2, 3)
	if n, bytes := b.Held(); n != 4 || bytes != 4*(1+each) {
		t.Errorf("%d elements and %d bytes held, want all", n, bytes)
	}
	b.Release(first)
	if n, bytes := b.Held(); n != 2 || bytes != 2*(1+each) {
		t.Errorf("%d elements and %d bytes held after Release, want 2 elements", n, bytes)
	}
}

func TestPutAllocatesNothing(t *testing.T) {
	b := batcher.New[int](batcher.BatchRecords(100))
	ctx := t.Context()
	cycle := func() {
		for i := range 100 {
			if _, _, err := b.Put(ctx, &i, 8, 8); err != nil {
				t.Fatal(err)
			}
		}
		batch, err := b.Take(ctx)
		if err != nil {
			t.Fatal(err)
		}
		b.Release(batch)
	}
	cycle()
	if n := testing.AllocsPerRun(50, cycle); n > 1 { // the Batch itself
		t.Errorf("%v allocations for a batch of 100, want 1", n)
	}
}

func TestBoundsBelowOnePanic(t *testing.T) {
	for name, opt := range map[string]batcher.Option{
		"records": batcher.BatchRecords(0), "bytes": batcher.BatchBytes(-1), "buffer": batcher.BufferBytes(0),
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("no panic")
				}
			}()
			batcher.New[int](opt)
		})
	}
}
