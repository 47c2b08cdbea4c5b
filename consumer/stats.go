package consumer

import (
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// Stats are a snapshot of a consumer's counters since New, over all its loops.
type Stats struct {
	Read        uint64 // records read
	Done        uint64 // records done, skipped ones included: the contiguous low-water mark where they finish out of order
	Poison      uint64 // records that could not be decoded and were reached by a loop
	DeadLetters uint64 // records that DeadLetters has taken
	Reopened    uint64 // readers opened after one was lost
	Saved       uint64 // checkpoints saved

	BufferedBytes int            // what was read and is not done counts against BufferBytes
	CaughtUp      bool           // the last batch read reached the tail
	Position      backend.Offset // where a loop would go on: behind the last done record, or the start before anything was read
}

type counters struct {
	read, done, poison, letters, reopened, saved atomic.Uint64
	caughtUp                                     atomic.Bool
}

// Stats returns a snapshot. The counters are read one after the other, so a running loop may be between two of them.
func (c *Consumer[T]) Stats() Stats {
	n := &c.counters
	s := Stats{
		Read: n.read.Load(), Done: n.done.Load(), Poison: n.poison.Load(), DeadLetters: n.letters.Load(),
		Reopened: n.reopened.Load(), Saved: n.saved.Load(), CaughtUp: n.caughtUp.Load(),
		Position: c.cfg.startAt,
	}
	if r := c.latest(); r != nil {
		var low uint64
		s.Position, low = r.track.position()
		s.Done += low // counters.done holds what earlier loops did
		s.BufferedBytes = int(r.track.budget.used.Load())
	}
	return s
}
