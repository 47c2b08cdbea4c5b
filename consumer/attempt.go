package consumer

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"time"
)

// try makes an attempt at a record. If the record is done or given up, try returns true, and the next record of its key
// may begin.
func (w *workers[T]) try(t *task[T]) bool {
	err := t.fault
	if err == nil {
		if w.rate != nil && !w.rate.wait(w.life) {
			return false
		}
		if w.hold.Over() {
			w.stop()
			return false
		}
		err = w.attempt(t)
	}
	if err == nil {
		w.finish(t)
		return true
	}
	if w.work.batch != nil && t.fault == nil {
		err = w.finishOthers(t, err)
	}
	return w.failed(t, err)
}

// failed deals with a failed attempt, and reports whether the record is given up.
func (w *workers[T]) failed(t *task[T], err error) bool {
	if w.life.Err() != nil { // the shutdown ended it: neither a failure nor an attempt
		return false
	}
	t.attempts++
	switch {
	case isPermanent(err) || int(t.attempts) > w.cfg.retries && len(t.rest) == 0:
		return w.giveUp(t, err)
	case int(t.attempts) > w.cfg.retries:
		w.split(t)
	default:
		w.again(t, err)
	}
	return false
}

// finish marks the records done, wakes the loop if the loop waits for them, and wakes workers that wait until the
// low-water mark moves.
func (w *workers[T]) finish(t *task[T]) {
	w.loop.run.track.markDone(t.seq())
	for i := range t.rest {
		w.loop.run.track.markDone(t.rest[i].seq())
	}
	w.loop.run.lowMoved()
	if w.loop.run.saveDue() {
		// Let the loop save now. Handlers that only compute would keep the loop off the processors for many milliseconds,
		// and after a kill everything finished before the save would run again.
		runtime.Gosched()
	}
	if w.gate.shut.Load() {
		w.mu.Lock()
		w.change.Broadcast()
		w.mu.Unlock()
	}
}

// attempt runs the handler once.
func (w *workers[T]) attempt(t *task[T]) error {
	d := w.cfg.attemptTimeout
	if d == 0 {
		return w.guarded(w.life, t)
	}
	ctx, cancel := context.WithTimeout(w.life, d)
	defer cancel()
	at, number := t.record().Offset, t.attempts+1
	overdue := time.AfterFunc(2*min(d, math.MaxInt64/2), func() {
		w.loop.c.cfg.logger.WarnContext(w.life, "consumer: process: a handler goes on although its ctx has ended",
			"offset", at, "attempt", number, "timeout", d)
	})
	defer overdue.Stop()
	return w.guarded(ctx, t)
}

// guarded runs the handler and returns a panic as an error. When a handler calls runtime.Goexit, as FailNow of a test
// does, the goroutine of the worker ends. Then no worker may be left, and the records would wait for ever; therefore the
// loop ends.
func (w *workers[T]) guarded(ctx context.Context, t *task[T]) (err error) {
	returned := false
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		} else if !returned {
			w.fail(&ProcessError{Record: *t.record(), Attempts: int(t.attempts) + 1, Err: errGoexit})
		}
	}()
	if w.work.batch != nil {
		err = w.work.batch(ctx, w.messages(t))
	} else {
		err = w.work.handle(ctx, t.message(w.loop.run))
	}
	if err != nil {
		// Ask the error here, where a panic is caught: an error that is a nil pointer panics at its first use.
		_, _ = err.Error(), isPermanent(err)
	}
	returned = true
	return err
}

// again lets the record begin once more after a pause. During the pause the record occupies no worker, and keeps its
// lane.
func (w *workers[T]) again(t *task[T], err error) {
	pause := w.cfg.backoff.Delay(int(t.attempts), err)
	w.loop.c.cfg.logger.WarnContext(w.life, "consumer: process: a record failed and is tried again",
		"offset", t.record().Offset, "attempt", t.attempts, "in", pause, "err", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.Load() {
		return
	}
	w.gaps += int(t.gaps)
	w.timers[t.seq()] = w.delayedLocked(*t, pause)
}

// delayedLocked makes a task ready after a pause.
func (w *workers[T]) delayedLocked(next task[T], pause time.Duration) *time.Timer {
	return time.AfterFunc(pause, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.timers, next.seq())
		w.gaps -= int(next.gaps)
		if !w.closed.Load() {
			w.ready.push(next)
			w.wakeLocked(1)
			w.startLocked()
		}
	})
}

// giveUp makes the records dead letters. Without DeadLetters giveUp ends the loop.
func (w *workers[T]) giveUp(t *task[T], err error) bool {
	c, first := &w.loop.c.cfg, t.record()
	if !c.hasLetters {
		w.fail(&ProcessError{Record: *first, Attempts: int(t.attempts), Err: err})
		return false
	}
	c.logger.WarnContext(w.life, "consumer: process: a record is given up and becomes a dead letter",
		"offset", first.Offset, "attempts", t.attempts, "err", err)
	letters := []DeadLetter{deadLetter(first, c.key, err)}
	for i := range t.rest {
		letters = append(letters, deadLetter(t.rest[i].record(), c.key, err))
	}
	for i := range letters {
		letters[i].Attempts = int(t.attempts)
	}
	if err := c.letters.Send(w.life, letters...); err != nil {
		if w.life.Err() == nil {
			w.fail(fmt.Errorf("consumer: process: dead letter for the record at %q: %w", first.Offset, err))
		}
		return false
	}
	w.loop.c.counters.letters.Add(uint64(len(letters)))
	w.finish(t)
	return true
}
