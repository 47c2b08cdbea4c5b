package producer

import (
	"context"
	"errors"
	"fmt"
)

// flush waits until every record accepted before the call is decided, and returns the failures among them.
func (e *engine) flush(ctx context.Context) error {
	newest, fl := e.beginFlush()
	if newest != nil {
		// Batches are decided in order, so the newest batch is the last to be decided.
		select {
		case <-newest.Companion.latch.done:
		case <-ctx.Done():
			e.leaveFlush(fl)
			return fmt.Errorf("producer: flush: %w", ctx.Err())
		}
	}
	return e.endFlush(fl)
}

// beginFlush ends the batch being filled, registers a flush, and returns the newest batch, or nil when every batch is decided. Both
// steps happen under the lock: otherwise another flush could begin and end between them, and would take failures that belong
// to this flush.
func (e *engine) beginFlush() (newest *batch, fl *flushing) {
	e.mu.Lock()
	defer e.mu.Unlock()
	newest = e.queue.Flush()
	upto := uint64(0)
	if newest != nil {
		upto = newest.Companion.no
	}
	return newest, e.failures.begin(upto)
}

// leaveFlush ends a flush that does not wait any longer. The failures stay for the next flush.
func (e *engine) leaveFlush(fl *flushing) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures.leave(fl)
}

// endFlush returns the failures among the records of fl, and the error of the producer when the producer has stopped.
func (e *engine) endFlush(fl *flushing) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.failures.end(fl)
	if e.stopCause != nil {
		err = errors.Join(err, e.stoppedLocked())
	}
	return err
}
