package consumer

import (
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// Stats is a snapshot of a consumer's counters since New, over all its loops.
type Stats struct {
	Read uint64 // records read
	// Done counts skipped records too. Where records finish out of order, only records below the low-water mark count.
	Done        uint64
	Poison      uint64 // records that could not be decoded and were reached by a loop
	DeadLetters uint64 // records that were sent to DeadLetters and are durable there
	Reopened    uint64 // readers opened after one was lost
	Saved       uint64 // checkpoints saved

	BufferedBytes int // bytes of records that were read and are not done; BufferBytes is the limit
	// CaughtUp means: the last batch reached the tail, and its reader is still open. Records that were read may not be
	// done.
	CaughtUp bool
	// Closed means: the stream is closed for good, and was read to its end. After a loop with StopAtTail, Closed tells
	// whether another loop will ever find more records.
	Closed bool
	// Lag is how far the low-water mark is behind the tail, as far as it is known without asking the store: Records only
	// while reading has caught up, and Age of records that were read. [Consumer.Lag] asks the store.
	Lag Lag
	// Position is where a loop would go on: behind the last done record, or at the start if nothing was read.
	Position backend.Offset
}

// counters are shared by all loops of a consumer and by their goroutines.
type counters struct {
	read, done, poison, letters, reopened, saved atomic.Uint64
	caughtUp, closed                             atomic.Bool
}

// Stats returns a snapshot. Stats reads the counters one after the other, and a running loop may change some counters in
// between. Done is read before Read, so Done never exceeds Read.
func (c *Consumer[T]) Stats() Stats {
	n := &c.counters
	s := Stats{Position: c.cfg.startAt, Lag: Lag{Records: -1, Bytes: -1}}
	c.mu.Lock()
	r := c.run
	s.Done = n.done.Load()
	c.mu.Unlock()
	if r != nil {
		var low uint64
		s.Position, low = r.track.position()
		// n.done holds the records of earlier loops.
		s.Done += low
		s.Lag = r.lag(n.caughtUp.Load())
		s.BufferedBytes = int(r.track.budget.used.Load())
	}
	s.Poison, s.DeadLetters = n.poison.Load(), n.letters.Load()
	s.Reopened, s.Saved = n.reopened.Load(), n.saved.Load()
	s.Read, s.CaughtUp, s.Closed = n.read.Load(), n.caughtUp.Load(), n.closed.Load()
	return s
}

// lag returns the lag of the loop. caughtUp says that everything up to the tail was read.
func (r *run) lag(caughtUp bool) Lag {
	oldest, _, any := r.track.oldest()
	l := Lag{Records: -1, Bytes: -1, Age: age(oldest)}
	if caughtUp {
		l.Records = int64(r.track.head.Load() - min(r.track.low.Load(), r.track.head.Load()))
		l.CaughtUp = !any && l.Records == 0
	}
	if l.CaughtUp {
		l.Bytes = 0
	}
	return l
}
