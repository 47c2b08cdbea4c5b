package producer

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/headrace/headrace/backend"
)

// finish decides everything that is still held. It runs last in the engine's goroutine, with no session left.
func (e *engine) finish(err error) {
	cause := err
	if cause != nil {
		e.queue.Close(&stopped{cause: cause})
	} else {
		cause = errClosed
		e.queue.Close(cause)
	}
	// What no session has taken is Unacked's too, behind what one has, in the order in which it was accepted.
	for {
		b, err := e.queue.Take(context.Background()) // closed: it returns at once
		if err != nil {
			break
		}
		e.push(b)
	}

	e.mu.Lock()
	e.stop = err
	e.left = e.window.parts
	e.window.parts, e.window.sent = nil, 0
	var events []BatchEvent
	var over []*flight
	for i := range e.left {
		p := &e.left[i]
		why := &stopped{cause: cause, taken: p.maybeStored()}
		if p.decide(span{first: p.lo, n: p.hi - p.lo, err: why}) {
			over = append(over, p.flight)
		}
		e.stats.Failed += uint64(p.hi - p.lo)
		events = append(events, p.event(e.window.next+uint64(i), why))
	}
	e.mu.Unlock()
	if err != nil {
		e.logger.Error("producer: stopped", "err", err, "unacked", len(events))
	}
	for _, f := range over {
		close(f.latch.done) // the records stay: Unacked hands them out
	}
	for _, ev := range events {
		tell(e, failed, ev)
	}
}

// unacked yields what was never confirmed, in order.
func (e *engine) unacked() iter.Seq2[backend.Record, bool] {
	return func(yield func(backend.Record, bool) bool) {
		select {
		case <-e.ended:
		default:
			return
		}
		for i := range e.left {
			for _, r := range e.left[i].records() {
				if !yield(r, e.left[i].maybeStored()) {
					return
				}
			}
		}
	}
}

// err says why the producer has stopped, nil while it runs.
func (e *engine) err() error {
	select {
	case <-e.ended:
	default:
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.stop == nil {
		return errClosed
	}
	return e.stoppedLocked()
}

// stoppedLocked is what a stopped producer says of itself: something may be stored when the first record left may be.
func (e *engine) stoppedLocked() error {
	return &stopped{cause: e.stop, taken: len(e.left) > 0 && e.left[0].maybeStored()}
}

// flush waits for everything accepted before the call and returns what was refused of it.
func (e *engine) flush(ctx context.Context) error {
	b, fl := e.beginFlush()
	if b != nil {
		select {
		case <-b.Companion.latch.done:
		case <-ctx.Done():
			e.leaveFlush(fl)
			return fmt.Errorf("producer: flush: %w", ctx.Err())
		}
	}
	return e.endFlush(fl)
}

// beginFlush ends the batch being filled and returns the newest one, nil when there was none. A flush that began and ended
// between the two steps would take failures that this one covers, so they are one step.
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

// leaveFlush ends a flush that does not wait any longer. What was refused stays for the next one.
func (e *engine) leaveFlush(fl *flushing) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.failures.leave(fl)
}

// endFlush returns what fl covers and was refused, and why the producer stopped.
func (e *engine) endFlush(fl *flushing) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	err := e.failures.end(fl)
	if e.stop != nil {
		err = errors.Join(err, e.stoppedLocked())
	}
	return err
}

// shutdown refuses what comes, sends what is there, and waits for it until ctx ends; then it abandons the rest.
func (e *engine) shutdown(ctx context.Context) error {
	e.queue.Close(errClosed)
	_, fl := e.beginFlush()
	select {
	case <-e.ended:
	case <-ctx.Done():
		e.abort(fmt.Errorf("closed before everything was acknowledged: %w", ctx.Err()))
		if !e.awaitEnd() {
			e.leaveFlush(fl)
			return fmt.Errorf("producer: closed before everything was acknowledged: %w: %w, and a hook is still running (a hook must not call Close or wait for its producer)",
				backend.ErrIndeterminate, ctx.Err())
		}
	}
	err := e.endFlush(fl)
	if n := e.remaining(); n > 0 {
		err = fmt.Errorf("%w (%d records left)", err, n)
	}
	return err
}

// awaitEnd waits for the engine's end after an abort, which nothing delays for long but a hook. It returns false when one
// does: Close may have been called in that hook, which could not return before Close.
func (e *engine) awaitEnd() bool {
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		select {
		case <-e.ended:
			return true
		case <-look.C:
			if e.hooking.Load() > 0 {
				return false
			}
		}
	}
}

func (e *engine) remaining() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i := range e.left {
		n += len(e.left[i].records())
	}
	return n
}
