package batcher

import (
	"context"
	"fmt"
	"runtime"
)

// Put accepts *e into the open batch and returns the batch and the place of the element in the batch. Put copies *e exactly
// once, because an element is often so large that a copy costs more than the rest of Put.
//
// metered is what the element counts against BatchBytes; held is what the element counts against BufferBytes. While the
// budget is used up, Put blocks, in order of arrival. When ctx ends first, nothing was accepted and the error wraps both
// [ErrFull] and the error of ctx. An element that can never fit is [ErrTooLarge], and the text names the bound.
func (b *Batcher[E, C]) Put(ctx context.Context, e *E, metered, held int) (*Batch[E, C], int, error) {
	cost := held + b.elementOverhead
	b.lock()
	defer b.mu.Unlock()
	err := b.reserveLocked(cost)
	if err == ErrFull {
		err = b.awaitRoomLocked(ctx, cost)
	}
	if err != nil {
		return nil, 0, err
	}
	batch, i := b.appendLocked(e, metered, cost)
	return batch, i, nil
}

// TryPut is a Put that never blocks: when there is no room, TryPut returns [ErrFull].
func (b *Batcher[E, C]) TryPut(e *E, metered, held int) (*Batch[E, C], int, error) {
	cost := held + b.elementOverhead
	b.lock()
	defer b.mu.Unlock()
	if err := b.reserveLocked(cost); err != nil {
		return nil, 0, err
	}
	batch, i := b.appendLocked(e, metered, cost)
	return batch, i, nil
}

// lock takes the lock for callers who come once per element. The lock is held for about 20 ns only. When the lock is taken, another
// core takes the lock again and again. So the caller stays away from the lock for about a microsecond, three times at most: each
// look at the lock would take the lock's cache line from the core that holds the lock, and to block the goroutine costs even more.
// sync.Mutex waits as long, but only while no other goroutine is ready to run. After the third wait, the caller lets other
// goroutines run once, and blocks.
//
// Measured with eight goroutines on two cores, for each element: 57 ns with these pauses, 74 ns with pauses of a quarter of a
// microsecond, 79 ns with a Gosched and no pause, 84 ns with Lock alone. The pauses also save a third of the processor time.
func (b *Batcher[E, C]) lock() {
	for range 3 {
		if b.mu.TryLock() {
			return
		}
		for range 4000 {
			// one step takes about a quarter of a nanosecond
		}
	}
	runtime.Gosched()
	b.mu.Lock()
}

// reserveLocked reserves cost bytes of the budget for an element, before the element is accepted. We also reserve the
// overhead of a batch, because only appendLocked finds out whether the element begins a new batch; appendLocked gives the
// overhead back when the element does not.
func (b *Batcher[E, C]) reserveLocked(cost int) error {
	cost += b.batchOverhead
	switch {
	case b.closed != nil:
		return b.closed
	case cost > b.budget:
		return fmt.Errorf("%w: %d bytes with its overhead, the buffer holds %d (BufferBytes)", ErrTooLarge, cost, b.budget)
	case b.waiters.live > 0 || b.used+cost > b.budget:
		// Callers who wait already come first, even when the element of this caller is small and would fit.
		return ErrFull
	}
	b.used += cost
	return nil
}

// awaitRoomLocked blocks until cost bytes of the budget are reserved. awaitRoomLocked releases the lock while blocked and
// holds the lock again when it returns.
func (b *Batcher[E, C]) awaitRoomLocked(ctx context.Context, cost int) error {
	w := b.waiters.add(cost + b.batchOverhead)
	b.signal() // the element cannot join the open batch, so the open batch is due
	b.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
	}
	b.mu.Lock()
	// The state counts, not the case of the select: a grant may have come together with the end of ctx.
	state := w.state
	if state == waiting {
		b.waiters.remove(w)
	}
	b.waiters.recycle(w)
	switch {
	case state == granted && b.closed != nil:
		// Close came after the grant. The taker may have emptied the batcher since, and an element appended now might never
		// be taken. So we give the room back and accept nothing.
		b.used -= cost + b.batchOverhead
		return b.closed
	case state == granted:
		return nil
	case state == refused:
		return b.closed
	}
	b.grantLocked() // a smaller element of a caller behind may fit
	return fmt.Errorf("%w: %w", ErrFull, ctx.Err())
}

// grantLocked gives free room to the callers who wait, in order of arrival, until the first of them does not fit.
func (b *Batcher[E, C]) grantLocked() {
	b.waiters.serve(func(w *waiter) bool {
		if b.used+w.cost > b.budget {
			return false
		}
		b.used += w.cost
		w.state = granted
		return true
	})
}

// appendLocked appends an element to the open batch. The caller has reserved room for the element.
func (b *Batcher[E, C]) appendLocked(e *E, metered, cost int) (*Batch[E, C], int) {
	if b.open != nil && (len(b.open.Items) >= b.records || b.open.Metered+metered > b.bytes) {
		b.endLocked(CauseFull)
	}
	first := b.open == nil
	if first {
		b.beginLocked()
	} else {
		b.used -= b.batchOverhead // reserved in case of a new batch
	}
	o := b.open
	o.Items = append(o.Items, *e)
	o.Metered += metered
	o.cost += cost
	if b.keep != nil {
		b.keep(o)
	}
	if first || b.fullLocked() {
		b.signal() // Take must start the linger timer, or take the batch
	}
	return o, len(o.Items) - 1
}
