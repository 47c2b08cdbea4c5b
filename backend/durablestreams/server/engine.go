package server

import (
	"context"
	"sync"
	"time"
)

// An engine is the part of a Storage that does not depend on where the bytes are kept: the rules of the protocol, and
// the waiting readers.
//
// A change goes through three steps. apply runs the change on drafts, which nobody else sees. seal writes the drafts to
// the vault. publish shows the drafts to readers, after the vault has made them durable. The vault calls the three
// steps for one round after the other. Several changes may share a round, and so share one write to the disk.
//
// The vault runs all rounds on one goroutine at a time, which the comments call the goroutine of the vault: the
// goroutine of the committer with a file, and the caller that has its turn in memory.
//
// Lock order: the turn of a memoryVault, then mu. No function of the engine waits for a round while it holds mu:
// publish needs mu, and the round would never end.
type engine struct {
	vault   vault
	options storageOptions

	// round is the round under way, and nil between two rounds. Only the goroutine in which the vault runs changes uses
	// round, so round needs no lock.
	round *round

	// mu guards names and the published state of each stream. Only publish writes them, in the goroutine of the vault.
	// So this goroutine reads them without the lock, except touched and waiting, which readers change.
	mu sync.RWMutex
	// names holds the streams that readers may see, and hidden streams, which block their name.
	names map[string]*stream
	sweep *time.Timer // runs while there are perishable streams
	// stopped is set once, by stop.
	stopped bool
}

// A vault keeps the bytes, the producers and the states of streams.
type vault interface {
	// submit makes one change durable: it calls apply, seal and publish of the engine, and then end of the change. It
	// may return before the change is durable.
	submit(c *change)

	// span returns the end of the last unit of s that ends at or below limit. If the first unit ends beyond limit, span
	// returns the end of the first unit. next is never beyond the end of the segment. whole = false means that the
	// segment begins inside a unit.
	// A caller that gets whole = false for the place where a client asked to begin must refuse the place of a JSON
	// stream: the response would begin in the middle of a message.
	span(s segment, limit Position) (next Position, whole bool, err error)

	// reader returns a piece with the bytes of s up to next.
	reader(s segment, next Position) piece
}

// A piece is a part of a Chunk that belongs to one stream.
type piece interface {
	// readAt fills p with the bytes from position at on.
	// The caller asks only for bytes below next of the piece. An error means that the bytes are gone or damaged, and p
	// may hold some of them.
	readAt(p []byte, at Position) error
}

// A ledger is the access of a round to the vault. Its methods are called only within a round, on the goroutine of the
// vault: a boltLedger belongs to the transaction of the round, and a memoryVault holds its turn.
type ledger interface {
	// newKey returns a key that no stream has had before. A key that came again would give a new stream the data and
	// the producers of a removed stream.
	newKey() (uint64, error)
	// place returns the place of a producer before the round. The changes of the round are in the drafts.
	place(s *stream, id string) (place, bool, error)
	// write stores one draft: the state, the data and the places together, or removes the stream.
	write(d *draft) error
}

// A change is one call that changes streams.
type change struct {
	engine *engine
	size   int // about how many bytes the change writes

	// run works on drafts. An error of run is a refusal. A refusal may depend on earlier changes of the same round, so
	// the caller learns the refusal only after the round is durable. If the round fails, the refusal was wrong, and the
	// caller learns the failure instead.
	run     func(*round) error
	refused error

	done chan error // holds one value
}

// end tells the caller the result of the round.
func (c *change) end(err error) {
	if err == nil {
		err = c.refused
	}
	c.done <- err
}

// commit makes one change, together with other changes that wait at the same time. It checks ctx only before it submits
// the change. Later nobody can take the change back, and an early return would hide whether the change was made.
func (e *engine) commit(ctx context.Context, size int, run func(*round) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &change{engine: e, run: run, size: size, done: make(chan error, 1)}
	e.vault.submit(c)
	return <-c.done
}

// apply runs c in the round under way, or begins a round. It reports whether the round has drafts now.
func (e *engine) apply(c *change, l ledger) (changed bool) {
	e.mu.RLock()
	stopped := e.stopped
	e.mu.RUnlock()
	if e.round == nil {
		e.round = &round{engine: e, now: time.Now()}
	}
	// Each change of a round brings its own ledger. With bbolt all ledgers of a round hold the same transaction.
	e.round.ledger = l
	if stopped {
		// A change that waited in the queue is not made after stop. Its caller gets ErrStopped, and knows that nothing
		// is stored.
		c.refused = ErrStopped
	} else {
		c.refused = c.run(e.round)
	}
	return len(e.round.drafts) > 0
}

// seal writes the drafts of the round to the vault.
func (e *engine) seal() error {
	// The loop runs over all drafts at the end of the round, and not after each change. So a stream that several
	// changes touch is written once.
	for _, d := range e.round.drafts {
		e.trim(d)
		if err := e.round.ledger.write(d); err != nil {
			return err
		}
	}
	return nil
}

// trim moves the start of a stream that has grown beyond its retention. It drops whole units, and leaves at least as
// much as must be kept. It does not drop units of this round, because the vault finds only units of earlier rounds.
func (e *engine) trim(d *draft) {
	keep := Position(e.options.retain)
	if keep == 0 || d.will.removed || d.will.Tail-d.will.Start <= keep {
		return
	}
	start, limit := d.will.Start, d.will.Tail-keep
	if limit <= start || d.was.Tail <= start {
		return
	}
	// The vault is asked for a boundary between units, because a start in the middle of a unit would cut a message in
	// two. If the vault cannot tell, the stream keeps everything until the next append: to keep too much is safe.
	next, _, err := e.vault.span(segment{d.was.key, d.was.Start, start, d.was.Tail, d.was.units}, limit)
	if err == nil && next <= limit {
		d.will.Start = next
	}
}

// publish ends the round. If err is nil, the round is durable: publish shows its drafts to readers, and wakes the
// readers that wait for one of the streams. If err is not nil, the drafts are forgotten.
func (e *engine) publish(err error) {
	b := e.round
	e.round = nil
	if b == nil || err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range b.drafts {
		// From here on readers see the draft. The order does not matter to readers, because they need mu for every look
		// at a stream.
		s := d.was
		s.state = d.will
		if e.options.volatile {
			s.units = append(s.units, d.units...)
			forgetUnitsLocked(s)
		}
		if d.renewsTTL {
			// All streams of a round get the time of the round, so the wait for the disk does not lengthen a TTL.
			s.touched = b.now
		}
		// The name may already belong to a new stream: one round can remove a stream and create another stream with its
		// name.
		switch {
		case s.removed && e.names[s.name] == s:
			delete(e.names, s.name)
			s.units = nil
		case d.created && !s.removed:
			e.names[s.name] = s
			e.watchLocked(s)
		}
		s.wakeLocked()
	}
}

// stop makes every later call fail with ErrStopped, and ends the waiting calls.
func (e *engine) stop() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stopped = true
	if e.sweep != nil {
		e.sweep.Stop()
	}
	for _, s := range e.names {
		s.wakeLocked()
	}
}

// watchLocked starts the sweeper if s may expire. e.mu is held for writing.
func (e *engine) watchLocked(s *stream) {
	if s.perishable() && e.sweep == nil && !e.stopped {
		e.sweep = time.AfterFunc(sweepEvery, e.expire)
	}
}

// sweepEvery is about how long an expired stream may use space. Readers do not see an expired stream, whether or not it
// is removed.
const sweepEvery = time.Second

// expire removes the expired streams. It starts itself again while there are perishable streams.
func (e *engine) expire() {
	e.mu.Lock()
	// expire runs on the goroutine of the timer, without a lock. So the timer counts as used up before the look at the
	// names. Otherwise a stream that is published during the look would find a timer that has fired already, and nobody
	// would remove the stream.
	e.sweep = nil // a stream that is published after the look at the names below starts the sweeper again
	e.mu.Unlock()
	now := time.Now()
	var names []string
	more := false
	e.mu.RLock()
	// Hidden streams are left out: they have expired or were deleted already, and stay only for their forks.
	for name, s := range e.names {
		if s.perishable() && !s.Hidden {
			if more = true; s.expiredLocked(now) {
				names = append(names, name)
			}
		}
	}
	e.mu.RUnlock()
	if len(names) > 0 {
		// find drops each stream that has expired. If the commit fails, the next sweep tries again.
		_ = e.commit(context.Background(), 0, func(b *round) error {
			for _, name := range names {
				b.find(name)
			}
			return nil
		})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if more && e.sweep == nil && !e.stopped {
		e.sweep = time.AfterFunc(sweepEvery, e.expire)
	}
}
