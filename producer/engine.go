package producer

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
)

// An engine is the producer without its type parameter. The engine takes batches from the batcher, sends the batches through
// one session after another, and decides each record: stored, refused, or unknown.
//
// A single goroutine at a time, that of run, opens sessions and receives acks (run, runSessions, runSession, receive, judge, refuse,
// finish). Each session has a second goroutine that sends (send). Between sessions, an engine without work is parked: it has no
// goroutine, and the next record or Close starts run in a new goroutine. Callers of the Producer come from any goroutine. The
// callers use the batcher, the latches and, for Flush, Close and Stats, the fields under mu.
//
// Lock order: mu before the lock of the batcher (beginFlush takes both). The batcher calls keep with its lock held, so keep
// must not take mu. Hooks and the logger are called with no lock held.
type engine struct {
	config
	appender backend.Appender
	queue    *queue
	limits   atomic.Pointer[backend.Limits] // of the store, read anew after every opening
	shrunk   chan struct{}                  // one token: the window has become shorter
	abort    context.CancelCauseFunc        // ends run, with a cause for the caller
	ended    chan struct{}                  // closed when run has returned; undecided and stopCause are final then

	hooksRunning atomic.Int32 // number of hooks that have not returned

	mu          sync.Mutex
	window      window
	sessionNo   uint64      // number of the newest session, counted from 1
	endReason   error       // why the producer ended the open session; nil when the session runs or the store ended the session
	sendFailed  bool        // Send of the open session returned an error, and parts[sent] is the part that was not taken
	watchdog    *time.Timer // ends the session when an ack is overdue; nil without AckTimeout
	ackedAtLook uint64      // window.firstSeq when endIdle looked last
	idleLook    *time.Timer // calls endIdle; nil without IdleTimeout
	failures    failures    // refused records that no Flush has returned yet
	stopCause   error       // why the producer has stopped; nil while it runs and after a Close that decided everything
	undecided   []part      // after the end: the parts that the store never decided; their receipts have failed
	stats       Stats
	loan        loan

	spareArenas sync.Pool // of *[]byte: arenas of decided batches, for reuse until the garbage collector removes them

	spareRecords sync.Pool // of *[]backend.Record: records of decided batches, for reuse; Headers and Time are zero, Value may be old

	// Only keep uses lastFilled and batchCount, under the batcher's lock; newArena is a part of keep.
	lastFilled int    // bytes copied into the arenas of the newest batch
	batchCount uint64 // number of batches begun

	// Only the goroutine of run uses the next fields.
	outage outage
	tries  attempts      // attempts in a row without progress
	atEnd  []func(error) // what the Started hooks have returned; called when the producer has stopped

	started bool // the first session was opened; set before run begins
}

// errParked says that the engine waits for work without a goroutine. The producer has not ended: the batcher starts run again.
var errParked = errors.New("parked")

// errDrained ends a session because nothing is left to send and the producer is closed.
var errDrained = errors.New("drained")

// start opens the first session and starts the engine. ctx bounds the opening only.
func start(ctx context.Context, a backend.Appender, c config) (*engine, error) {
	e := &engine{
		config:   c,
		appender: a,
		shrunk:   make(chan struct{}, 1),
		ended:    make(chan struct{}),
	}
	e.queue = batcher.NewWith(e.keep,
		batcher.Linger(c.linger), batcher.BatchRecords(c.batchRecords),
		batcher.BatchBytes(c.batchBytes), batcher.BufferBytes(c.bufferBytes),
		// In a buffer of less than 1,024,000 bytes, a batch counts one 1,024th of the buffer. The full overhead of a batch would leave
		// no room for records in a buffer of a few hundred bytes, as tests use it.
		batcher.BatchOverhead(min(batchDataBytes, c.bufferBytes>>10)))
	first, err := e.open(ctx, new(attempts), c.openingBudget(ctx))
	if err != nil {
		return nil, err
	}
	e.started = true
	e.storeAnswered()
	run, abort := context.WithCancelCause(context.WithoutCancel(ctx)) // the producer outlives the context of New
	e.abort = abort
	e.atEnd = startHooks(e)
	go e.run(run, first)
	return e, nil
}

// keep copies each accepted record into memory of its batch. The batcher calls keep with the batcher's lock held, so keep
// must be short and must not take e.mu.
func (e *engine) keep(b *batch) {
	if len(b.Items) == 1 {
		e.beginBatch(b)
	}
	d := b.Companion
	r := &b.Items[len(b.Items)-1]
	r.value = d.copy(r.value)
	if r.extra != nil {
		r.extra = d.keepExtra(r.extra)
	}
	e.lastFilled = d.copied
}

// beginBatch gives a batch with its first record its batchData.
func (e *engine) beginBatch(b *batch) {
	l := &latch{done: make(chan struct{}), queue: e.queue, batch: b}
	spare := e.newArena()
	e.batchCount++
	bound := least(e.batchBytes, e.limits.Load().BatchBytes)
	b.Companion = &batchData{batch: b, no: e.batchCount, latch: l, arena: *spare, spare: spare, bound: bound}
}

// run opens sessions until a fatal error, until a Close after which nothing is left, or until an abort. Then the life of the
// producer is over. run also returns when the engine is parked. s is nil when run goes on after that.
func (e *engine) run(ctx context.Context, s backend.Session) {
	err := e.runSessions(ctx, s)
	if err == errParked {
		return // another goroutine may be in run already
	}
	defer close(e.ended)
	defer e.abort(nil)
	aborted := ctx.Err() != nil && err != nil
	if aborted {
		err = context.Cause(ctx) // the reason that abort was given says more than "context canceled"
	}
	e.finish(err, aborted)
	e.hooksRunning.Add(1)
	for _, f := range e.atEnd {
		f(e.stopReason())
	}
	e.hooksRunning.Add(-1)
}

// runSessions uses s, and then opens one session after another. runSessions returns nil when everything is decided after a Close.
func (e *engine) runSessions(ctx context.Context, s backend.Session) error {
	for {
		if s != nil {
			if drained, err := e.useSession(ctx, s); drained || err != nil {
				return err
			}
		}
		if e.park(ctx) {
			return errParked
		}
		err := e.awaitWork(ctx)
		if errors.Is(err, errDrained) {
			return nil
		}
		if err != nil {
			return err
		}
		if s, err = e.open(ctx, &e.tries, e.retry.Budget); err != nil {
			return err
		}
	}
}

// useSession uses s to its end. After an end that is no answer of the store, useSession pauses. useSession returns true when
// everything is decided after a Close, and an error when the producer must stop.
func (e *engine) useSession(ctx context.Context, s backend.Session) (drained bool, err error) {
	opened, before := time.Now(), e.progress()
	reason := e.runSession(ctx, s)
	lived := time.Since(opened)
	if reason == nil {
		return true, nil
	}
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	e.sessionEnded(reason, e.tries.failed, lived)
	if errors.Is(reason, errAckTimeout) {
		// The silence at the end does not count as life of the session. Otherwise each session with a silent store would
		// count as progress, and Attempts would never stop the producer.
		lived -= e.ackTimeout
	}
	if e.progress() > before || e.retry.Progress(lived) {
		e.tries = attempts{}
	}
	refused, err := e.judge(reason)
	if err != nil {
		return false, err
	}
	if refused || errors.Is(reason, errIdle) {
		// A refusal is an answer, and before a session is idle, the store has answered everything: the store can be
		// reached, so we open the next session without a pause.
		e.storeAnswered()
		return false, nil
	}
	return false, e.pause(ctx, &e.tries, reason, e.retry.Budget)
}

// park lets an engine without work end its goroutine. A producer may be without work for hours, and a goroutine that has worked
// takes 4 KiB and more. park returns false when there is work, or when the producer is closed. Only shutdown ends ctx, and
// shutdown closes the batcher first, so an abort always finds a goroutine of run.
func (e *engine) park(ctx context.Context) bool {
	if e.pending() {
		return false
	}
	e.mu.Lock()
	e.window.parts = nil // the memory of parts that are decided
	e.mu.Unlock()
	return e.queue.Park(func() { e.run(ctx, nil) })
}

// awaitWork returns when a part waits to be sent. The next session is opened after that, because a producer without work needs
// no session. awaitWork returns errDrained when the producer is closed and nothing is left to send.
func (e *engine) awaitWork(ctx context.Context) error {
	if e.pending() {
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
	d := b.Companion
	d.made = e.newRecords(b.Items)
	d.undecided = len(b.Items)
	e.queue.Recycle(b)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.window.push(d, e.limits.Load())
}

// progress counts the parts that have been acknowledged: the number grows exactly when an ack arrives.
func (e *engine) progress() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.window.firstSeq
}

// pending reports whether a part is not decided.
func (e *engine) pending() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.window.parts) > 0
}

// inFlight counts the parts that were given to the open session and that are not decided.
func (e *engine) inFlight() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.window.sent
}
