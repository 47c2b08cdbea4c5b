package consumer

import (
	"time"

	"github.com/headrace/headrace/backend"
)

// Hooks are functions for counting and tracing. Any of them may be nil. The consumer calls hooks from several goroutines,
// with no lock held. A slow hook delays reading or the loop, so hooks should be short. A hook must not wait for the
// consumer itself. A panic of ReaderOpened, ReaderReopened, ReaderLost or BatchRead ends the loop with a [*PanicError].
// The other hooks are called in the goroutine of the loop, or in the goroutine that calls [Consumer.Commit], and a panic passes
// to the caller: a loop has ended then, and another may begin. In [Merge] each consumer has a goroutine of its own, and Merge raises the panic again.
type Hooks struct {
	// LoopStarted: a loop begins. stats is [Consumer.Stats]. LoopStarted returns a function, or nil, for the end of the
	// loop.
	LoopStarted func(stats func() Stats) (ended func())

	ReaderOpened   func(ReaderEvent) // the first reader of a loop was opened
	ReaderReopened func(ReaderEvent) // a reader was opened after ReaderLost
	ReaderLost     func(ReaderEvent) // opening or reading failed, and the consumer will try again

	BatchRead func(ReadEvent) // a reader returned a batch

	Poison func(PoisonEvent) // a record could not be decoded

	CheckpointSaved  func(SaveEvent) // an attempt to save succeeded
	CheckpointFailed func(SaveEvent) // an attempt to save failed; another may follow
}

// A ReaderEvent is about one reader.
type ReaderEvent struct {
	From    backend.Offset // where the reader was opened; in ReaderLost, where the next one will be opened
	Attempt int            // number of openings in a row without progress, including this one
	Elapsed time.Duration  // how long the opening took; in ReaderLost, how long the reader lived
	Err     error          // why the reader was lost; ReaderLost only
	Delay   time.Duration  // time until the next attempt; ReaderLost only
}

// A ReadEvent is about one Read.
type ReadEvent struct {
	Records  int
	Bytes    int  // as they count against BufferBytes: values, headers, and 160 for each record
	CaughtUp bool // the batch reached the tail; records that were read may not be done

	// Lag is the age of the oldest unfinished record in memory, records of this batch included, by the record's Time and
	// the clock of this machine. Lag is 0 when all records in memory are done, or when the store gives no times. Unread
	// records are newer.
	Lag time.Duration
}

// A PoisonEvent is about one record that could not be decoded.
type PoisonEvent struct {
	Err        *DecodeError
	Skipped    bool // the record is skipped; otherwise the loop ends
	DeadLetter bool // the record was sent to DeadLetters and is durable there
}

// A SaveEvent is about one attempt to save a checkpoint.
type SaveEvent struct {
	Offset  backend.Offset
	Attempt int           // number of attempts to save this place, including this one
	Elapsed time.Duration // how long the attempt took
	Err     error         // why the attempt failed; CheckpointFailed only
}

type hooks []Hooks

// fire calls one hook of each Hooks. pick is a plain function and not a closure: a consumer without hooks pays only for a
// loop over an empty slice.
func fire[E any](hs hooks, pick func(*Hooks) func(E), ev E) {
	for i := range hs {
		if f := pick(&hs[i]); f != nil {
			f(ev)
		}
	}
}

// startHooks calls LoopStarted, and returns the functions to call at the end.
func startHooks(hs hooks, stats func() Stats) (ended []func()) {
	for i := range hs {
		if f := hs[i].LoopStarted; f != nil {
			if end := f(stats); end != nil {
				ended = append(ended, end)
			}
		}
	}
	return ended
}

func hookReaderOpened(h *Hooks) func(ReaderEvent)   { return h.ReaderOpened }
func hookReaderReopened(h *Hooks) func(ReaderEvent) { return h.ReaderReopened }
func hookReaderLost(h *Hooks) func(ReaderEvent)     { return h.ReaderLost }
func hookBatchRead(h *Hooks) func(ReadEvent)        { return h.BatchRead }
func hookPoison(h *Hooks) func(PoisonEvent)         { return h.Poison }
func hookSaved(h *Hooks) func(SaveEvent)            { return h.CheckpointSaved }
func hookSaveFailed(h *Hooks) func(SaveEvent)       { return h.CheckpointFailed }
