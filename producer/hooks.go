package producer

import (
	"time"

	"github.com/headrace/headrace/batcher"
)

// Hooks are called when something happens that one wants to count or trace. Any of them may be nil. They are called off
// every lock, from the producer's own goroutines: what they do holds up sending, so they should be short. They must not
// wait for the producer itself, with Send, Flush, Close or a receipt: it does nothing until they return. Close in a hook
// returns an error after [DrainTimeout]; call it in a goroutine of its own.
type Hooks struct {
	BatchSent   func(BatchEvent) // handed to a session for the first time
	BatchResent func(BatchEvent) // handed to a session again
	BatchAcked  func(BatchEvent) // durable
	BatchFailed func(BatchEvent) // given up, Err says why; its records' receipts fail

	SessionOpened func(SessionEvent)
	SessionLost   func(SessionEvent)
}

// A BatchEvent is about one batch, or a part of one that was split because the store refused it.
type BatchEvent struct {
	Seq     uint64 // a resend keeps it; when a batch is refused, those behind it take its place
	Records int
	Bytes   int           // by the store's meter
	Cause   batcher.Cause // why the batch was ended: full, linger, wanted, flush, close
	Attempt int           // how often it was handed to a session, this time included
	Elapsed time.Duration // since its first record was accepted
	Err     error         // BatchFailed only
}

// A SessionEvent is about one session with the store.
type SessionEvent struct {
	Attempt int           // openings in a row without progress, this one included
	Unacked int           // batches taken by earlier sessions or this one and not acknowledged
	Elapsed time.Duration // SessionOpened: what the opening took; SessionLost: how long it lived
	Err     error         // SessionLost: its last words
}

type hooks []Hooks

// tell calls the hooks that pick selects, and counts those that are running for a Close that one of them holds up.
func tell[E any](e *engine, pick func(*Hooks) func(E), ev E) {
	for i := range e.hooks {
		if f := pick(&e.hooks[i]); f != nil {
			e.hooking.Add(1)
			f(ev)
			e.hooking.Add(-1)
		}
	}
}

func sent(h *Hooks) func(BatchEvent)     { return h.BatchSent }
func resent(h *Hooks) func(BatchEvent)   { return h.BatchResent }
func acked(h *Hooks) func(BatchEvent)    { return h.BatchAcked }
func failed(h *Hooks) func(BatchEvent)   { return h.BatchFailed }
func opened(h *Hooks) func(SessionEvent) { return h.SessionOpened }
func lost(h *Hooks) func(SessionEvent)   { return h.SessionLost }
