package batcher

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"sync"
	"time"
)

var (
	// ErrFull: the budget is used up. TryPut returns it at once, Put when its context ends before there is room.
	ErrFull = errors.New("buffer is full")

	// ErrTooLarge: the element alone exceeds BufferBytes.
	ErrTooLarge = errors.New("element is too large")

	// ErrClosed: put or taken after Close.
	ErrClosed = errors.New("batcher: closed")
)

// A Batcher collects elements into batches. Put, TryPut, Want, Flush, Release and Close may be called from any goroutine,
// Take from one at a time. Make one with [New].
type Batcher[E any] struct {
	// What every Put touches, side by side: several cores pass these lines from one to the other.
	mu      sync.Mutex
	open    *Batch[E] // being filled, never empty
	used    int       // of the budget
	closed  error     // why nothing more is accepted
	waiters waiters

	records  int
	bytes    int
	budget   int
	overhead int // counted for every element beside the bytes it holds
	keep     func(*Batch[E])

	linger      time.Duration
	wake        chan struct{} // one token: something that Take waits for may have happened
	ended       queue[E]
	last        *Batch[E] // the newest that ended, for Flush
	outstanding int       // taken and not released
	queued      int       // elements in batches that ended and were not released
	hurry       bool      // the open batch is due
	spare       [][]E     // Items of released batches
	spared      int       // bytes that these hold
	hint        int       // how many elements the newest batch that ended holds
}

// sparePart of the budget is what a batcher retains of released batches for reuse, at most.
const sparePart = 8

// New makes a Batcher. When keep is not nil it is called for each element just appended to b.Items, with the batcher
// locked: the place to copy what the element lends into memory of the batch. It must be short and must not call the
// batcher.
func New[E any](keep func(b *Batch[E]), opts ...Option) *Batcher[E] {
	c := defaults()
	for _, o := range opts {
		o(&c)
	}
	c.check()
	return &Batcher[E]{
		linger:   c.linger,
		budget:   c.budget,
		overhead: int(reflect.TypeFor[E]().Size()),
		keep:     keep,
		wake:     make(chan struct{}, 1),
		records:  c.records,
		bytes:    c.bytes,
	}
}

// Put accepts e into the batch being filled and returns that batch and e's place in it. metered is what e counts against
// BatchBytes, held what it counts against BufferBytes. Put blocks while the budget is used up, in order of arrival;
// when ctx ends first, the error wraps [ErrFull] and ctx's and nothing was accepted. [ErrTooLarge] names the bound.
func (b *Batcher[E]) Put(ctx context.Context, e E, metered, held int) (*Batch[E], int, error) {
	cost := held + b.overhead
	b.lock()
	defer b.mu.Unlock()
	err := b.reserve(cost)
	if err == ErrFull {
		err = b.await(ctx, cost)
	}
	if err != nil {
		return nil, 0, err
	}
	batch, i := b.place(&e, metered, cost)
	return batch, i, nil
}

// TryPut is Put that never blocks: [ErrFull] when there is no room.
func (b *Batcher[E]) TryPut(e E, metered, held int) (*Batch[E], int, error) {
	cost := held + b.overhead
	b.lock()
	defer b.mu.Unlock()
	if err := b.reserve(cost); err != nil {
		return nil, 0, err
	}
	batch, i := b.place(&e, metered, cost)
	return batch, i, nil
}

// lock is for the callers who come once an element. The lock is held for some 50 ns, so a caller who finds it taken
// steps aside once before he parks: parking and being woken cost the holder more than the wait (measured with eight
// goroutines on two cores: a tenth less time an element, and fewer batches in flight).
func (b *Batcher[E]) lock() {
	if b.mu.TryLock() {
		return
	}
	runtime.Gosched()
	b.mu.Lock()
}

// reserve takes cost of the budget, before anything is accepted.
func (b *Batcher[E]) reserve(cost int) error {
	switch {
	case b.closed != nil:
		return b.closed
	case cost > b.budget:
		return fmt.Errorf("%w: %d bytes with its overhead, the buffer holds %d (BufferBytes)", ErrTooLarge, cost, b.budget)
	case b.waiters.live > 0 || b.used+cost > b.budget:
		return ErrFull
	}
	b.used += cost
	return nil
}

// await blocks for cost of the budget. It is called and returns with the lock held.
func (b *Batcher[E]) await(ctx context.Context, cost int) error {
	w := b.waiters.park(cost)
	b.signal() // the budget holds this element back, so the open batch is due
	b.mu.Unlock()
	select {
	case <-w.ready:
	case <-ctx.Done():
	}
	b.mu.Lock()
	switch w.state {
	case granted:
		b.waiters.recycle(w)
		return nil
	case refused:
		b.waiters.recycle(w)
		return b.closed
	}
	b.waiters.leave(w)
	b.grant() // those behind may fit where this one did not
	return fmt.Errorf("%w: %w", ErrFull, ctx.Err())
}

// grant gives free room to those who wait for it.
func (b *Batcher[E]) grant() {
	b.waiters.serve(func(w *waiter) bool {
		if b.used+w.cost > b.budget {
			return false
		}
		b.used += w.cost
		w.state = granted
		return true
	})
}

// place appends to the open batch an element whose room is reserved.
func (b *Batcher[E]) place(e *E, metered, cost int) (*Batch[E], int) {
	if b.open != nil && (len(b.open.Items) >= b.records || b.open.Metered+metered > b.bytes) {
		b.end(CauseFull)
	}
	first := b.open == nil
	if first {
		b.open = &Batch[E]{First: time.Now(), Items: b.items()}
	}
	o := b.open
	o.Items = append(o.Items, *e)
	o.Metered += metered
	o.cost += cost
	if b.keep != nil {
		b.keep(o)
	}
	if first || b.full() {
		b.signal()
	}
	return o, len(o.Items) - 1
}

// items returns memory for a new batch: that of a released one, or as much as the last one needed.
func (b *Batcher[E]) items() []E {
	if n := len(b.spare); n > 0 {
		s := b.spare[n-1]
		b.spare[n-1], b.spare = nil, b.spare[:n-1]
		b.spared -= cap(s) * b.overhead
		return s
	}
	return make([]E, 0, b.hint)
}

// full reports whether the open batch is due because it, or the budget, holds the next element back.
func (b *Batcher[E]) full() bool {
	return len(b.open.Items) >= b.records || b.open.Metered >= b.bytes || b.waiters.live > 0
}

// end moves the open batch to those that can be taken.
func (b *Batcher[E]) end(why Cause) {
	b.open.Cause = why
	b.ended.push(b.open)
	b.hint = len(b.open.Items)
	b.queued += b.hint
	b.last, b.open, b.hurry = b.open, nil, false
}

// signal wakes Take; the token stays for the next one when none is blocked.
func (b *Batcher[E]) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Take returns the next batch that is due, in order, and blocks until there is one. After Close it returns what is left
// and then the error that Put returns. When ctx ends first it returns ctx's error and has taken nothing.
func (b *Batcher[E]) Take(ctx context.Context) (*Batch[E], error) {
	var linger *time.Timer
	for {
		b.mu.Lock()
		wait := b.due()
		if batch := b.ended.pop(); batch != nil {
			b.outstanding++
			b.mu.Unlock()
			return batch, nil
		}
		err := b.closed
		b.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}

		var elapsed <-chan time.Time
		if wait > 0 {
			if linger == nil {
				linger = time.NewTimer(wait)
				defer linger.Stop()
			} else {
				linger.Reset(wait)
			}
			elapsed = linger.C
		}
		select {
		case <-b.wake:
		case <-elapsed:
		case <-ctx.Done():
		}
	}
}

// due ends the open batch when it is due, or else returns how long it may still linger, 0 without one.
func (b *Batcher[E]) due() time.Duration {
	if b.open == nil || b.ended.head != nil {
		return 0
	}
	switch {
	case b.full() || b.hurry:
		b.end(CauseFull)
	case b.open.wanted && b.outstanding == 0:
		b.end(CauseWanted)
	default:
		wait := b.linger - time.Since(b.open.First)
		if wait > 0 {
			return wait
		}
		b.end(CauseLinger)
	}
	return 0
}

// Want says that somebody waits for a batch: it does not linger once nothing taken is unreleased.
func (b *Batcher[E]) Want(batch *Batch[E]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if batch == b.open && !batch.wanted {
		batch.wanted = true
		if b.outstanding == 0 {
			b.signal()
		}
	}
}

// Hurry makes the batch being filled due at once, as full. It is for a taker that was held up by something else than the
// batcher, such as a bound on what is in flight: the elements have waited long enough.
func (b *Batcher[E]) Hurry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != nil {
		b.hurry = true
		b.signal()
	}
}

// Flush makes the batch being filled due at once and returns the newest batch that ever ended, nil when there is none.
// Batches are taken in order, so whoever waits for that one waits for everything put before.
func (b *Batcher[E]) Flush() *Batch[E] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != nil {
		b.end(CauseFlush)
		b.signal()
	}
	return b.last
}

// Release gives back the room of a batch that Take returned, and the memory of its Items. It is called once a batch.
func (b *Batcher[E]) Release(batch *Batch[E]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= batch.cost
	b.queued -= len(batch.Items)
	b.outstanding--
	if size := cap(batch.Items) * b.overhead; b.spared+size <= b.budget/sparePart {
		clear(batch.Items)
		b.spare = append(b.spare, batch.Items[:0])
		b.spared += size
	}
	batch.Items = nil
	b.grant()
	if b.open != nil && (b.open.wanted && b.outstanding == 0) {
		b.signal()
	}
}

// Resize changes BatchRecords and BatchBytes for what is placed from now on; batches that have ended stay as they are.
func (b *Batcher[E]) Resize(records, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records, b.bytes = max(records, 1), max(bytes, 1)
	if b.open != nil && b.full() {
		b.end(CauseFull)
		b.signal()
	}
}

// Held returns how many elements were put and not released, and how many bytes of the budget they use.
func (b *Batcher[E]) Held() (elements, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	elements = b.queued
	if b.open != nil {
		elements += len(b.open.Items)
	}
	return elements, b.used
}

// Close refuses what is put from now on, and those blocked in Put, with cause, [ErrClosed] when that is nil. What was
// accepted can still be taken, without linger. Of several calls the first cause counts.
func (b *Batcher[E]) Close(cause error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed != nil {
		return
	}
	b.closed = cause
	if cause == nil {
		b.closed = ErrClosed
	}
	b.waiters.serve(func(w *waiter) bool {
		w.state = refused
		return true
	})
	if b.open != nil {
		b.end(CauseClose)
	}
	b.signal()
}
