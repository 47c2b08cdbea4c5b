package consumer

import (
	"sync/atomic"
	"time"

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
	CaughtUp      bool           // the last batch read reached the tail, and the reader lives; what was read may not be done
	Lag           time.Duration  // age of the oldest record that was read and is not done; 0: none, or no times
	Position      backend.Offset // where a loop would go on: behind the last done record, or the start before anything was read
}

type counters struct {
	read, done, poison, letters, reopened, saved atomic.Uint64
	caughtUp                                     atomic.Bool
}

// Stats returns a snapshot. The counters are read one after the other, so a running loop may be between two of them; what
// is done is read before what was read, and never exceeds it.
func (c *Consumer[T]) Stats() Stats {
	n := &c.counters
	s := Stats{Position: c.cfg.startAt}
	c.mu.Lock()
	r := c.run
	s.Done = n.done.Load()
	c.mu.Unlock()
	if r != nil {
		var low uint64
		s.Position, low = r.track.position()
		s.Done += low // n.done holds what earlier loops did
		oldest, _, _ := r.track.oldest()
		s.Lag = age(oldest)
		s.BufferedBytes = int(r.track.budget.used.Load())
	}
	s.Poison, s.DeadLetters = n.poison.Load(), n.letters.Load()
	s.Reopened, s.Saved = n.reopened.Load(), n.saved.Load()
	s.Read, s.CaughtUp = n.read.Load(), n.caughtUp.Load()
	return s
}
