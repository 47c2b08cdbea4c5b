package batcher_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/batcher"
)

// A caller who was given room, and has not run since, must not put into a batcher that was closed and emptied meanwhile:
// nobody would ever take what he put. On one processor he cannot run before the others are through.
func TestAnElementIsRefusedOrTakenWhenCloseOvertakesIt(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.BufferBytes(100 + each))
		put(t, b, 1, 100)
		result := make(chan error, 1)
		go func() {
			_, _, err := b.Put(t.Context(), new(2), 50, 50)
			result <- err
		}()
		synctest.Wait()
		b.Release(take(t, b)) // grants the room
		b.Close(nil)
		taken := 0
		for _, err := b.Take(t.Context()); err == nil; _, err = b.Take(t.Context()) {
			taken++
		}
		if err := <-result; err == nil && taken == 0 {
			t.Error("Put has accepted an element that Take never returns")
		} else if err != nil && !errors.Is(err, batcher.ErrClosed) {
			t.Errorf("Put: %v, want ErrClosed", err)
		}
		if n, bytes := b.Held(); n != taken || taken == 0 && bytes != 0 {
			t.Errorf("%d elements and %d bytes are held, %d were taken", n, bytes, taken)
		}
	})
}

// Callers with short deadlines come and go while one waits for much room. What they leave behind must not add up.
func TestThoseWhoLeaveTheQueueLeaveNothingInIt(t *testing.T) {
	const leavers = 20_000
	synctest.Test(t, func(t *testing.T) {
		b := batcher.New[int](batcher.BufferBytes(100 + each))
		put(t, b, 1, 50)
		ctx, leave := context.WithCancel(t.Context())
		first := make(chan error, 1)
		go func() {
			_, _, err := b.Put(ctx, new(2), 100, 100)
			first <- err
		}()
		synctest.Wait()
		over, cancel := context.WithCancel(t.Context())
		cancel()
		before := heap()
		for range leavers {
			if _, _, err := b.Put(over, new(3), 10, 10); !errors.Is(err, batcher.ErrFull) {
				t.Fatalf("%v, want ErrFull: it would fit, but is behind", err)
			}
		}
		if grown := int(heap()) - int(before); grown > leavers*16 {
			t.Errorf("%d bytes more for %d callers who have left", grown, leavers)
		}
		leave()
		if err := <-first; !errors.Is(err, context.Canceled) {
			t.Errorf("the one who waited: %v", err)
		}
		put(t, b, 4, 10) // nobody is before him now
	})
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestABatchCountsItsOverheadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const overhead = 50
		b := batcher.New[int](batcher.BufferBytes(200), batcher.BatchOverhead(overhead))
		put(t, b, 1, 10)
		put(t, b, 2, 10)
		if _, bytes := b.Held(); bytes != 2*(10+each)+overhead {
			t.Errorf("%d bytes held by two elements in one batch", bytes)
		}
		first := take(t, b)
		put(t, b, 3, 10)
		if _, bytes := b.Held(); bytes != 3*(10+each)+2*overhead {
			t.Errorf("%d bytes held by two batches", bytes)
		}
		blocked := make(chan *batcher.Batch[int, struct{}])
		go func() { blocked <- put(t, b, 4, 30) }() // 38 more would fit, a batch of them would not
		synctest.Wait()
		b.Release(first)
		<-blocked
		second := take(t, b)
		want(t, second, batcher.CauseLinger, 3, 4)
		b.Release(second)
		if n, bytes := b.Held(); n != 0 || bytes != 0 {
			t.Errorf("%d elements and %d bytes held after the last release", n, bytes)
		}
	})
}
