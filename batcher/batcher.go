package batcher

import (
	"errors"
	"reflect"
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
// Take from one at a time. Make one with [New] or [NewWith].
type Batcher[E, C any] struct {
	// What every Put touches, side by side: several cores pass these lines from one to the other.
	mu      sync.Mutex
	open    *Batch[E, C] // being filled, never empty
	used    int          // of the budget
	closed  error        // why nothing more is accepted
	waiters waiters

	records  int
	bytes    int
	budget   int
	overhead int // counted for every element beside the bytes it holds
	batch    int // and for every batch beside its elements
	keep     func(*Batch[E, C])

	linger      time.Duration
	wake        chan struct{} // one token: something that Take waits for may have happened
	ended       queue[E, C]
	last        *Batch[E, C] // the newest that ended, for Flush
	outstanding int          // taken and not released
	queued      int          // elements in batches that ended and were not released
	hurry       bool         // the open batch is due
	spare       sync.Pool    // of *[]E: Items of released batches, as long as the garbage collector leaves them
	hint        int          // how many elements the newest batch that ended holds
}

// New makes a Batcher whose batches have no companion.
func New[E any](opts ...Option) *Batcher[E, struct{}] { return NewWith[E, struct{}](nil, opts...) }

// NewWith makes a Batcher whose batches have a companion of type C. When keep is not nil, the batcher calls keep for each
// element that it has just appended to b.Items, with its lock held: there the caller copies what the element lends into memory
// of the batch. keep must be short and must not call the batcher.
func NewWith[E, C any](keep func(b *Batch[E, C]), opts ...Option) *Batcher[E, C] {
	c := defaults()
	for _, o := range opts {
		o(&c)
	}
	c.check()
	return &Batcher[E, C]{
		linger:   c.linger,
		budget:   c.budget,
		batch:    c.batch,
		overhead: int(reflect.TypeFor[E]().Size()),
		keep:     keep,
		wake:     make(chan struct{}, 1),
		records:  c.records,
		bytes:    c.bytes,
	}
}

// begin opens a batch, in memory of a released one or in as much as the last one needed.
func (b *Batcher[E, C]) begin() {
	memory, ok := b.spare.Get().(*[]E)
	if !ok {
		memory = new(make([]E, 0, b.hint))
	}
	b.open = &Batch[E, C]{First: time.Now(), Items: *memory, memory: memory, cost: b.batch}
}

// full reports whether the open batch is due because it, or the budget, holds the next element back.
func (b *Batcher[E, C]) full() bool {
	return len(b.open.Items) >= b.records || b.open.Metered >= b.bytes || b.waiters.live > 0
}

// end moves the open batch to those that can be taken. One that is full ended for that, however soon after it Take,
// Flush or Close comes.
func (b *Batcher[E, C]) end(why Cause) {
	if b.full() {
		why = CauseFull
	}
	b.open.Cause = why
	b.ended.push(b.open)
	b.hint = len(b.open.Items)
	b.queued += b.hint
	b.last, b.open, b.hurry = b.open, nil, false
}

// signal wakes Take; the token stays for the next one when none is blocked.
func (b *Batcher[E, C]) signal() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// Want says that somebody waits for a batch: it does not linger once nothing taken is unreleased.
func (b *Batcher[E, C]) Want(batch *Batch[E, C]) {
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
func (b *Batcher[E, C]) Hurry() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != nil {
		b.hurry = true
		b.signal()
	}
}

// Flush makes the batch being filled due at once and returns the newest batch that ever ended, nil when there is none.
// Batches are taken in order, so whoever waits for that one waits for everything put before.
func (b *Batcher[E, C]) Flush() *Batch[E, C] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != nil {
		b.end(CauseFlush)
		b.signal()
	}
	return b.last
}

// Release gives back the room of a batch that Take returned, and the memory of its Items. It is called once a batch.
func (b *Batcher[E, C]) Release(batch *Batch[E, C]) {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := len(batch.Items)
	clear(batch.Items) // on the lock: off it, eight goroutines that put took an eighth longer
	*batch.memory = batch.Items[:0]
	b.spare.Put(batch.memory)
	batch.Items, batch.memory = nil, nil
	b.used -= batch.cost
	b.queued -= n
	b.outstanding--
	b.grant()
	if b.open != nil && (b.open.wanted && b.outstanding == 0) {
		b.signal()
	}
}

// Resize changes BatchRecords and BatchBytes for what is placed from now on; batches that have ended stay as they are.
func (b *Batcher[E, C]) Resize(records, bytes int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records, b.bytes = max(records, 1), max(bytes, 1)
	if b.open != nil && b.full() {
		b.end(CauseFull)
		b.signal()
	}
}

// Held returns how many elements were put and not released, and how many bytes of the budget they use.
func (b *Batcher[E, C]) Held() (elements, bytes int) {
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
func (b *Batcher[E, C]) Close(cause error) {
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
