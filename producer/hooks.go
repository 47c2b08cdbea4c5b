package producer

import (
	"time"

	"github.com/headrace/headrace/batcher"
)

// Hooks are functions for counting and tracing. Any of them may be nil. The producer calls hooks from its own goroutines, with
// no lock held. A hook holds up sending until the hook returns, so a hook should be short. A hook must not wait for its own
// producer, with Send, Flush, Close or a receipt, because the producer does nothing until the hook returns. For the same reason, a
// hook must not call Enqueue, which waits while the buffer is full; TryEnqueue never waits. Close in a hook returns an error, at
// most a second after [DrainTimeout]; call Close in a goroutine of its own. A panic of a hook ends the process, because the panic
// happens in a goroutine of the producer.
type Hooks struct {
	// Started: New has opened the sink. stats is [Producer.Stats]. The function that Started returns, which may be nil, is called
	// when the producer has stopped, with the reason that [Producer.Err] returns.
	Started func(stats func() Stats) (stopped func(err error))

	BatchSent   func(BatchEvent) // handed to a session for the first time
	BatchResent func(BatchEvent) // handed to a session again
	BatchAcked  func(BatchEvent) // durable
	BatchFailed func(BatchEvent) // given up for the reason Err; the receipts of its records fail

	SessionOpened func(SessionEvent)
	SessionLost   func(SessionEvent)
	SessionIdle   func(SessionEvent) // the session ended, because there was nothing to send for [IdleTimeout]
}

// A BatchEvent is about a batch, or about a part of a batch that was split because the store refused the batch.
type BatchEvent struct {
	Seq     uint64 // a resend keeps its Seq; when a batch is refused, the batches behind move up and take its Seq
	Records int
	Bytes   int           // by the store's meter
	Cause   batcher.Cause // why the batch ended: full, linger, wanted, flush, close
	Attempt int           // how often the batch was handed to a session, this time included
	Elapsed time.Duration // time since the first record of the batch was accepted
	Err     error         // for BatchFailed only
}

// A SessionEvent is about a session with the store.
type SessionEvent struct {
	Attempt int           // number of openings in a row without progress, this opening included
	Unacked int           // batches taken by this session or an earlier session, and not acknowledged
	Elapsed time.Duration // for SessionOpened: how long the opening took; otherwise: how long the session lived
	Err     error         // the reason for the end; nil for SessionOpened
}

// hooks holds the arguments of [Observe], in order.
type hooks []Hooks

// callHooks calls the hook that pick selects from each Hooks. We count the hooks that are running, because a Close that is held
// up by a hook must find out and return.
func callHooks[E any](e *engine, pick func(*Hooks) func(E), ev E) {
	for i := range e.hooks {
		if f := pick(&e.hooks[i]); f != nil {
			e.hooksRunning.Add(1)
			f(ev)
			e.hooksRunning.Add(-1)
		}
	}
}

// startHooks calls Started, and returns the functions to call at the end.
func startHooks(e *engine) (atEnd []func(error)) {
	for i := range e.hooks {
		if f := e.hooks[i].Started; f != nil {
			if end := f(e.snapshot); end != nil {
				atEnd = append(atEnd, end)
			}
		}
	}
	return atEnd
}

// The functions for pick.
func hookSent(h *Hooks) func(BatchEvent)     { return h.BatchSent }
func hookResent(h *Hooks) func(BatchEvent)   { return h.BatchResent }
func hookAcked(h *Hooks) func(BatchEvent)    { return h.BatchAcked }
func hookFailed(h *Hooks) func(BatchEvent)   { return h.BatchFailed }
func hookOpened(h *Hooks) func(SessionEvent) { return h.SessionOpened }
func hookLost(h *Hooks) func(SessionEvent)   { return h.SessionLost }
func hookIdle(h *Hooks) func(SessionEvent)   { return h.SessionIdle }
