package producer

import (
	"context"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// A latch is shared by all receipts of a batch. The latch opens once, when every record of the batch is decided. A thousand
// receipts therefore cost a single channel.
type latch struct {
	done   chan struct{} // closed when the latch opens
	wanted atomic.Bool   // somebody waits, and the batcher knows
	queue  *queue        // the batcher of the batch; nil when the latch was made open
	batch  *batch

	// spans holds the decisions, in ascending order and without a gap. A batch that was split has several spans, every other
	// batch has a single span. All writes happen before done is closed, so reading needs no lock after done.
	spans []span
}

// A span is a run of records that were decided together.
type span struct {
	first, n int                        // the records of the batch from first to first+n-1
	offsetOf func(i int) backend.Offset // i counts from first; nil when the store gives no offset per record
	err      error                      // nil when the records are stored
}

// want tells the batcher that somebody waits for the batch. Only the first call takes the lock of the batcher.
func (l *latch) want() {
	if !l.wanted.Load() && l.wanted.CompareAndSwap(false, true) && l.queue != nil {
		l.queue.Want(l.batch)
	}
}

// wait returns nil when the latch is open, or the error of ctx when ctx ends first.
func (l *latch) wait(ctx context.Context) error {
	// An open latch wins over an ended context, so that a decision is never hidden.
	if l.open() {
		return nil
	}
	l.want()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// open reports whether the latch is open. Unlike wait, open does not say that somebody waits.
func (l *latch) open() bool {
	select {
	case <-l.done:
		return true
	default:
		return false
	}
}

// span returns the decision on record i of the batch. Call span only after done is closed.
func (l *latch) span(i int) *span {
	s := &l.spans[0]
	for k := 1; i >= s.first+s.n; k++ {
		s = &l.spans[k]
	}
	return s
}

// result returns the place of record i of the batch, or why the record is not stored. Call result only after done is closed.
func (l *latch) result(i int) (backend.Offset, error) {
	s := l.span(i)
	if s.err != nil || s.offsetOf == nil {
		return "", s.err
	}
	return s.offsetOf(i - s.first), nil
}
