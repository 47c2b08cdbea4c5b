package producer

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/headrace/headrace/backend"
)

// finish decides every record that the producer still holds. finish runs at the end of the engine's goroutine, when no session
// is left. err is nil after a Close. aborted says that err means: the time of a Close was over.
func (e *engine) finish(err error, aborted bool) {
	cause := err
	// The batcher closes first. From here on every Put fails, and the loop below gets all records that were accepted.
	if cause != nil {
		e.queue.Close(stopped(cause, false))
	} else {
		cause = errClosed
		e.queue.Close(cause)
	}
	// Batches that no session has taken belong to Unacked too. They follow the batches that a session has taken, in the order
	// in which the records were accepted.
	for {
		b, err := e.queue.Take(context.Background()) // never blocks, because the batcher is closed
		if err != nil {
			break
		}
		e.push(b)
	}

	e.mu.Lock()
	if aborted && len(e.window.parts) == 0 {
		err = nil // the time was over, but everything is decided: an error would call durable records lost
	}
	e.stopCause = err
	// The parts leave the window, so that Stats counts nothing in flight. undecided keeps the parts for Unacked.
	e.undecided = e.window.parts
	e.window.parts, e.window.sent = nil, 0
	var events []BatchEvent
	var decided []*batchData
	for i := range e.undecided {
		p := &e.undecided[i]
		reason := stopped(cause, p.maybeStored())
		if p.decide(span{first: p.lo, n: p.hi - p.lo, err: reason}) {
			decided = append(decided, p.batchData)
		}
		e.stats.Failed += uint64(p.hi - p.lo)
		events = append(events, p.event(e.window.firstSeq+uint64(i), reason))
	}
	e.mu.Unlock()
	if err != nil {
		e.logger.Error("producer: stopped", "err", err, "unacked", len(events))
	}
	// The latches open without the lock: whoever waits for a receipt may call Stats at once, and would wait for the lock.
	for _, d := range decided {
		close(d.latch.done) // we keep the memory of the records, because Unacked hands the records out
	}
	for _, ev := range events {
		callHooks(e, hookFailed, ev)
	}
}

// unacked yields the records that were never confirmed, in order. While the producer runs, unacked yields nothing.
func (e *engine) unacked() iter.Seq2[backend.Record, bool] {
	return func(yield func(backend.Record, bool) bool) {
		select {
		case <-e.ended:
		default:
			return
		}
		// After ended nobody changes undecided, so no lock is needed and the caller may take its time.
		for i := range e.undecided {
			for _, r := range e.undecided[i].records() {
				if !yield(r, e.undecided[i].maybeStored()) {
					return
				}
			}
		}
	}
}

// err returns why the producer has stopped, or nil while the producer runs.
func (e *engine) err() error {
	select {
	case <-e.ended:
	default:
		return nil
	}
	return e.stopReason()
}

// stopReason returns why the producer has stopped. The caller knows that finish has returned.
func (e *engine) stopReason() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stopCause == nil {
		return errClosed
	}
	return e.stoppedLocked()
}

// stoppedLocked returns the error of the producer as a whole. Records may be stored when the first undecided record may be
// stored, because the parts that may be stored are the first parts.
func (e *engine) stoppedLocked() error {
	return stopped(e.stopCause, len(e.undecided) > 0 && e.undecided[0].maybeStored())
}

// shutdown refuses new records, sends the accepted records, and waits for them until ctx ends. Then shutdown abandons the
// rest.
func (e *engine) shutdown(ctx context.Context) error {
	// Close comes before beginFlush. Otherwise a record could be accepted between the two: the producer would send the record, and
	// this flush would not report its failure.
	e.queue.Close(errClosed)
	_, fl := e.beginFlush()
	select {
	case <-e.ended:
	case <-ctx.Done():
		// abort ends run, and run calls finish, which fails the receipts of the records that are left.
		e.abort(fmt.Errorf("closed before everything was acknowledged: %w", ctx.Err()))
		if !e.awaitEnd() {
			e.leaveFlush(fl)
			return fmt.Errorf("producer: closed before everything was acknowledged: %w: %w, and a hook is still running (a hook must not call Close or wait for its producer)",
				backend.ErrIndeterminate, ctx.Err())
		}
	}
	// The engine has ended, so every record is decided now, and the failures are complete.
	err := e.endFlush(fl)
	if n := e.remaining(); n > 0 {
		err = fmt.Errorf("%w (%d records left)", err, n)
	}
	return err
}

// awaitEnd waits for the end of the engine after an abort. Only a hook that does not return can delay the end for long. A hook
// that called Close would wait for itself for ever, so awaitEnd looks once a second and returns false while a hook is running.
func (e *engine) awaitEnd() bool {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-e.ended:
			return true
		case <-look.C:
			if e.hooksRunning.Load() > 0 {
				return false
			}
		}
	}
}

// remaining counts the records that were never decided.
func (e *engine) remaining() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.undecided {
		n += len(e.undecided[i].records())
	}
	return n
}
