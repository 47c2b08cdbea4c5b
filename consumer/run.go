package consumer

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/internal/backoff"
)

// How records become done.
type mode int

const (
	inOrder mode = iota // the loop asks for the next
	byAck               // Message.Ack, each by itself
	piped               // their receipts are durable
)

// A run is what one loop leaves behind: what is done, and under which claim it may be saved. Messages point at it, so it
// outlives the loop, until the next one begins. It does not know T.
type run struct {
	mode   mode
	track  *tracker
	given  atomic.Uint64 // Message.Checkpoint has given out the places up to this record
	saveAt atomic.Uint64 // a save is due once all records below it are done
	endAt  atomic.Uint64 // the loop waits for all records below it
	tick   atomic.Bool   // the interval is over
	wake   chan struct{} // one token: look at the three above and at the budget again

	store    checkpoint.Store // nil: none
	key      string
	epoch    uint64
	every    uint64 // 0: no bound
	retry    retrier
	hooks    hooks
	counters *counters

	// Saves take turns by a token and not under a lock: one lasts as long as the store does.
	saving chan struct{}
	saved  backend.Offset // with the token
}

func newRun(cfg *config, m mode, n *counters, from backend.Offset) *run {
	r := &run{
		mode: m, wake: make(chan struct{}, 1),
		store: cfg.store, key: cfg.key, every: uint64(max(cfg.every, 0)),
		retry: retrier{cfg.retry, cfg.logger, cfg.key}, hooks: cfg.hooks, counters: n,
		saving: make(chan struct{}, 1),
	}
	r.track = newTracker(from, newBudget(cfg.bufferBytes, r.nudge))
	r.endAt.Store(math.MaxUint64)
	r.rearm(0)
	return r
}

// rearm makes the next save due once every more records are done.
func (r *run) rearm(low uint64) {
	if r.store == nil || r.every == 0 {
		r.saveAt.Store(math.MaxUint64)
		return
	}
	r.saveAt.Store(low + r.every)
}

// ack is Message.Ack.
func (r *run) ack(seq uint64) {
	switch r.mode {
	case inOrder:
		r.track.raise(seq + 1)
	case byAck:
		r.track.mark(seq)
		r.moved()
	case piped: // f has not finished the record by handing it on, whatever it says
	}
}

// moved wakes the loop when the low-water mark has reached something that it waits for.
func (r *run) moved() {
	if low := r.track.low.Load(); low >= r.saveAt.Load() || low >= r.endAt.Load() {
		r.nudge()
	}
}

func (r *run) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// due reports whether the loop has to call tidy before it goes on. It is asked before every record.
func (r *run) due() bool { return r.tick.Load() || r.track.low.Load() >= r.saveAt.Load() }

// save stores the place behind the last done record, unless that is what is stored. It tries again what is safe to try
// again: under one epoch, a save that had come through can only be repeated.
//
// Only the loop calls it on its own account, and only between two records: a goroutine that saved in the background could
// send a place off, be overtaken by the transaction that the loop's body commits for the record in hand, and then move
// the stored place back before an effect that is already there.
func (r *run) save(ctx context.Context) error {
	if r.store == nil {
		return nil
	}
	select {
	case r.saving <- struct{}{}:
		defer func() { <-r.saving }()
	case <-ctx.Done():
		return ctx.Err()
	}
	at, low := r.track.position()
	if at == r.saved || at.Relative() { // a relative start is no place: it has not been resolved yet
		return nil
	}
	if given := r.given.Load(); low < given {
		if further, err := r.storedFurther(ctx, at, low, given); further || err != nil {
			return err
		}
	}
	err := r.retry.do(ctx, "save the checkpoint", func(attempt int) error {
		return r.attempt(ctx, checkpoint.Checkpoint{Offset: at, Epoch: r.epoch}, attempt)
	})
	if err != nil {
		return err
	}
	r.saved = at
	r.rearm(low)
	return nil
}

// storedFurther reports whether the store holds at or a place behind it that Message.Checkpoint has given out. A save of
// at would then move the stored place back, before an effect that the loop's body has committed. A place that was given
// out and not stored holds back nothing: the body may have asked for it for a log line, or have rolled back.
func (r *run) storedFurther(ctx context.Context, at backend.Offset, low, given uint64) (bool, error) {
	var cp checkpoint.Checkpoint
	err := r.retry.do(ctx, "load the checkpoint", func(int) (err error) {
		cp, err = r.store.Load(ctx, r.key)
		return err
	})
	if err != nil || cp.Epoch != r.epoch { // another epoch: the save says that a newer consumer has the key
		return false, err
	}
	return cp.Offset == at || r.track.within(cp.Offset, low, given), nil
}

func (r *run) attempt(ctx context.Context, cp checkpoint.Checkpoint, attempt int) error {
	begun := time.Now()
	err := r.store.Save(ctx, r.key, cp)
	ev := SaveEvent{Offset: cp.Offset, Attempt: attempt, Elapsed: time.Since(begun), Err: err}
	if err != nil {
		fire(r.hooks, saveFailed, ev)
		return err
	}
	r.counters.saved.Add(1)
	fire(r.hooks, saved, ev)
	return nil
}

// retryable: a read, a claim or a save that may have happened can be done again, so only the two facts count.
func retryable(err error) bool {
	return errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate)
}

// A retrier tries again what the checkpoint store could not do.
type retrier struct {
	backoff.Policy
	logger *slog.Logger
	key    string
}

// do calls f until it succeeds, fails for good or has used up the policy's budget. The end of ctx ends the waits; f is
// expected to heed it too. what completes "could not".
func (r retrier) do(ctx context.Context, what string, f func(attempt int) error) error {
	down := outage{logger: r.logger}
	for attempt := 1; ; attempt++ {
		err := f(attempt)
		if err == nil {
			down.over(ctx, "consumer: could "+what+" again", "key", r.key, "attempt", attempt)
			return nil
		}
		down.failed(ctx, "consumer: could not "+what, err, "key", r.key, "attempt", attempt)
		if !retryable(err) || ctx.Err() != nil {
			return err
		}
		if attempt > r.Budget {
			return gaveUp(attempt, err)
		}
		if !backoff.Sleep(ctx, r.Delay(attempt, err)) {
			return err
		}
	}
}
