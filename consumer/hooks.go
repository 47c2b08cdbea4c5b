package consumer

import (
	"time"

	"github.com/headrace/headrace/backend"
)

// Hooks are called when something happens that one wants to count or trace. Any of them may be nil. They are called off
// every lock, from several goroutines: what they do holds up reading or the loop, so they should be short. They must
// not wait for the consumer itself.
type Hooks struct {
	ReaderOpened   func(ReaderEvent) // for the first time in a loop
	ReaderReopened func(ReaderEvent) // after ReaderLost
	ReaderLost     func(ReaderEvent) // an opening or a read failed and is tried again

	BatchRead func(ReadEvent)

	Poison func(PoisonEvent) // a record could not be decoded

	CheckpointSaved  func(SaveEvent)
	CheckpointFailed func(SaveEvent)
}

// A ReaderEvent is about one reader.
type ReaderEvent struct {
	From    backend.Offset // where it was opened or, ReaderLost, where the next one will be
	Attempt int            // openings in a row without progress, this one included
	Elapsed time.Duration  // opened: what the opening took; ReaderLost: how long it lived
	Err     error          // ReaderLost only
	Delay   time.Duration  // ReaderLost: until the next attempt
}

// A ReadEvent is about what one Read returned.
type ReadEvent struct {
	Records  int
	Bytes    int  // of values and headers, and 160 a record: what they count against BufferBytes
	CaughtUp bool // reading has reached the tail; what was read may not be done

	// Lag is how old the oldest record is that was read and is not done, those of this batch included, by its Time and
	// this machine's clock. It is 0 when there is none or the store gives no times. What is still to be read is newer.
	Lag time.Duration
}

// A PoisonEvent is about one record that could not be decoded.
type PoisonEvent struct {
	Err        *DecodeError
	Skipped    bool // otherwise the loop ends
	DeadLetter bool // it was sent to DeadLetters and is durable there
}

// A SaveEvent is about one attempt to save a checkpoint.
type SaveEvent struct {
	Offset  backend.Offset
	Attempt int // of saving this place, this one included
	Elapsed time.Duration
	Err     error // CheckpointFailed only
}

type hooks []Hooks

// fire calls one hook of each Hooks. pick is a plain func and not a closure, so without hooks it costs a loop over nothing.
func fire[E any](hs hooks, pick func(*Hooks) func(E), ev E) {
	for i := range hs {
		if f := pick(&hs[i]); f != nil {
			f(ev)
		}
	}
}

func readerOpened(h *Hooks) func(ReaderEvent)   { return h.ReaderOpened }
func readerReopened(h *Hooks) func(ReaderEvent) { return h.ReaderReopened }
func readerLost(h *Hooks) func(ReaderEvent)     { return h.ReaderLost }
func batchRead(h *Hooks) func(ReadEvent)        { return h.BatchRead }
func poison(h *Hooks) func(PoisonEvent)         { return h.Poison }
func saved(h *Hooks) func(SaveEvent)            { return h.CheckpointSaved }
func saveFailed(h *Hooks) func(SaveEvent)       { return h.CheckpointFailed }
