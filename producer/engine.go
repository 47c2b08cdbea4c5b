package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
	"github.com/headrace/headrace/internal/backoff"
)

// An engine is the producer below its type: it takes batches from the batcher, sends them through one session after
// another and decides what became of each record. One goroutine runs it and receives; each session has one more that
// sends.
type engine struct {
	config
	appender backend.Appender
	queue    *queue
	limits   atomic.Pointer[backend.Limits]
	slot     chan struct{} // one token: the window has got shorter
	abort    context.CancelCauseFunc
	ended    chan struct{} // run has returned; left and stop are final
	hooking  atomic.Int32  // hooks that are running

	mu        sync.Mutex
	window    window
	sessionNo uint64      // counts sessions
	why       error       // why this side ended the session, if it did
	untaken   bool        // the part behind those sent was offered to the session, which did not take it
	watchdog  *time.Timer // ends a session that owes an ack
	failures  failures    // that no Flush has returned
	stop      error       // why nothing more is sent
	left      []part      // what was never decided
	stats     Stats

	spare   sync.Pool // of *[]byte: arenas of decided flights, as long as the garbage collector leaves them
	filled  int       // bytes copied into the newest flight; under the batcher's lock
	batches uint64    // begun; under the batcher's lock
	loan    loan      // under mu
	outage  outage
}

// errDrained ends a session because there is nothing left to send and never will be.
var errDrained = errors.New("drained")

func start(ctx context.Context, a backend.Appender, c config) (*engine, error) {
	e := &engine{
		config:   c,
		appender: a,
		slot:     make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}
	e.queue = batcher.NewWith(e.keep,
		batcher.Linger(c.linger), batcher.BatchRecords(c.batchRecords),
		batcher.BatchBytes(c.batchBytes), batcher.BufferBytes(c.bufferBytes),
		batcher.BatchOverhead(min(flightBytes, c.bufferBytes>>10))) // a buffer of a few records still takes those
	first, err := e.open(ctx, attempts{}, c.opening(ctx))
	if err != nil {
		return nil, err
	}
	e.recovered()
	run, abort := context.WithCancelCause(context.WithoutCancel(ctx)) // the producer outlives the context of New
	e.abort = abort
	go e.run(run, first)
	return e, nil
}

// keep is called by the batcher, under its lock, for each record accepted.
func (e *engine) keep(b *batch) {
	if len(b.Items) == 1 {
		l := &latch{done: make(chan struct{}), queue: e.queue, batch: b}
		memory := e.arena()
		e.batches++
		b.Companion = &flight{batch: b, no: e.batches, latch: l, arena: *memory, memory: memory}
	}
	f := b.Companion
	f.keep()
	e.filled = f.used
}

// run is the producer's life: sessions until a fatal error, a Close with nothing left, or an abort.
func (e *engine) run(ctx context.Context, first backend.Session) {
	defer close(e.ended)
	defer e.abort(nil)
	err := e.sessions(ctx, first)
	if ctx.Err() != nil && err != nil {
		err = context.Cause(ctx)
	}
	e.finish(err)
}

// sessions opens one session after the other. It returns nil when everything is decided after a Close.
func (e *engine) sessions(ctx context.Context, s backend.Session) error {
	var tries attempts
	for {
		opened, before := time.Now(), e.progress()
		reason := e.session(ctx, s)
		lived := time.Since(opened)
		if reason == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		e.lost(reason, tries.failed, lived)
		if errors.Is(reason, errAckTimeout) {
			lived -= e.ackTimeout // silence is no life, or a silent store would be tried for ever
		}
		if e.progress() > before || e.retry.Progress(lived) {
			tries = attempts{}
		}
		refused, err := e.judge(reason)
		if err != nil {
			return err
		}
		if refused { // a refusal is an answer: the store is there, and there is nothing to wait for
			e.recovered()
		} else if err := e.pause(ctx, &tries, reason, e.retry.Budget); err != nil {
			return err
		}
		if err := e.await(ctx); err != nil {
			if errors.Is(err, errDrained) {
				return nil
			}
			return err
		}
		if s, err = e.open(ctx, tries, e.retry.Budget); err != nil {
			return err
		}
	}
}

// attempts counts the attempts in a row without progress.
type attempts struct {
	failed int // all of them: the delay grows with it
	spent  int // those that count against the budget
}

// fail counts an attempt that failed with err. A routine end spends nothing of the budget.
func (a *attempts) fail(err error) {
	a.failed++
	if !backend.Routine(err) {
		a.spent++
	}
}

// pause counts an attempt that failed and waits before the next opening, or gives up when the budget of attempts without
// progress is used up.
func (e *engine) pause(ctx context.Context, tries *attempts, reason error, budget int) error {
	tries.fail(reason)
	if tries.spent > budget {
		return fmt.Errorf("gave up after %d attempts without progress: %w", tries.spent, reason)
	}
	e.troubled(*tries, reason)
	if !backoff.Sleep(ctx, e.retry.Delay(tries.failed, reason)) {
		return ctx.Err()
	}
	return nil
}

// await returns when there is something to send: a lost session is not opened again before that. It returns errDrained
// when there never will be.
func (e *engine) await(ctx context.Context) error {
	e.mu.Lock()
	pending := len(e.window.parts)
	e.mu.Unlock()
	if pending > 0 {
		return nil
	}
	b, err := e.queue.Take(ctx)
	switch {
	case err == nil:
		e.push(b)
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	}
	return errDrained
}

// push puts a batch into the window.
func (e *engine) push(b *batch) {
	f := b.Companion
	f.undecided = len(f.Items)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.window.push(f, e.limits.Load())
}

// open opens a session, trying again while that is transient, within the budget and ctx. tries are those that led
// here.
func (e *engine) open(ctx context.Context, tries attempts, budget int) (backend.Session, error) {
	for {
		began := time.Now()
		s, err := e.openOnce(ctx)
		if err == nil {
			limits := e.appender.Limits()
			e.limits.Store(&limits)
			e.queue.Resize(least(e.batchRecords, limits.BatchRecords), least(e.batchBytes, limits.BatchBytes))
			e.mu.Lock()
			e.window.refit(&limits)
			e.mu.Unlock()
			e.opened(tries.failed, time.Since(began))
			return s, nil
		}
		if ctx.Err() != nil {
			return nil, fmt.Errorf("producer: open: %w", err)
		}
		// A refusal here condemns no record, so there is nothing to cut and nothing that a retry would change.
		retry := errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate)
		if is, _ := refusal(err); is || !retry {
			return nil, fmt.Errorf("producer: open: %w", err)
		}
		e.logger.Info("producer: opening failed", "attempt", tries.failed+1, "err", err)
		if perr := e.pause(ctx, &tries, err, budget); perr != nil {
			if ctx.Err() != nil {
				perr = fmt.Errorf("%w: last attempt: %w", perr, err)
			}
			return nil, fmt.Errorf("producer: open: %w", perr)
		}
	}
}

// openOnce bounds one opening by AckTimeout: a server that never answers is a failure like any other.
func (e *engine) openOnce(ctx context.Context) (backend.Session, error) {
	if e.ackTimeout <= 0 {
		return e.appender.Open(ctx)
	}
	attempt, cancel := context.WithTimeout(ctx, e.ackTimeout)
	defer cancel()
	s, err := e.appender.Open(attempt)
	if err != nil && attempt.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no answer within AckTimeout: %w: %w", backend.ErrTransient, err)
	}
	return s, err
}

// least is what the user asked for, or what the store can take when that is less.
func least(asked, limit int) int {
	if limit > 0 {
		return min(asked, limit)
	}
	return asked
}
