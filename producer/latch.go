package producer

import (
	"context"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// A latch is what all receipts of a batch wait on. It is opened once, when every record of the batch is decided, so that
// a thousand receipts cost one channel.
type latch struct {
	done   chan struct{}
	wanted atomic.Bool
	queue  *queue // to tell that somebody waits; nil when decided at birth
	batch  *batch

	// Written before done is closed: what became of the records, ascending, without a gap. A batch that was split has
	// several spans, any other has one.
	spans []span
}

// A span is a run of records that were decided together.
type span struct {
	first, n int
	offsetOf func(i int) backend.Offset // counts from first; nil where the store does not say
	err      error
}

// want tells the batcher, once, that somebody waits.
func (l *latch) want() {
	if !l.wanted.Load() && l.wanted.CompareAndSwap(false, true) && l.queue != nil {
		l.queue.Want(l.batch)
	}
}

// wait returns nil when the latch is open, or ctx's error.
func (l *latch) wait(ctx context.Context) error {
	select {
	case <-l.done:
		return nil
	default:
	}
	l.want()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// result is for after done.
func (l *latch) result(i int) (backend.Offset, error) {
	s := &l.spans[0]
	for k := 1; i >= s.first+s.n; k++ {
		s = &l.spans[k]
	}
	if s.err != nil || s.offsetOf == nil {
		return "", s.err
	}
	return s.offsetOf(i - s.first), nil
}
