package server

import (
	"context"
	"sync"
	"time"
)

// An engine is the part of a Storage that is the same wherever the bytes are kept: the rules of the protocol, and who waits
// for what.
//
// A change goes through three steps. apply runs it on drafts, which nobody else sees. seal writes the drafts to the vault.
// publish shows them, once the vault has made them durable. The vault calls these three for one round after the other, so
// several changes may share a round.
type engine struct {
	vault   vault
	options storageOptions

	// round is the batch under way, nil between two rounds. Only the goroutine that the vault makes changes in uses it.
	round *batch

	// mu guards names and what is published of each stream. Only publish writes them, in the goroutine of the vault. So
	// this goroutine reads them without the lock, except for what readers change: touched and waiting.
	mu      sync.RWMutex
	names   map[string]*stream
	sweep   *time.Timer // runs while there are perishable streams
	stopped bool
}

// A vault keeps the bytes, the producers and the states of streams.
type vault interface {
	// make makes one change durable: it calls the engine's apply, seal and publish, and then the change's end. It may
	// return before that.
	make(c *change)

	// span returns the end of the last unit of s that ends at or below limit. If the first unit ends beyond limit, span
	// returns the end of that one. It never returns a place beyond the segment's end. whole is false when the segment
	// begins inside a unit.
	span(s segment, limit Position) (next Position, whole bool, err error)

	// reader returns the bytes of s up to next.
	reader(s segment, next Position) piece
}

// A piece is a part of a Chunk that one stream owns.
type piece interface {
	// readAt fills p from the position at on.
	readAt(p []byte, at Position) error
}

// A ledger is what a round reads and writes of the vault.
type ledger interface {
	newKey() (uint64, error)
	place(s *stream, id string) (place, bool, error)
	write(d *draft) error
}

// A change is one call that alters streams.
type change struct {
	engine *engine
	size   int // about how many bytes it writes

	// run works on drafts. What it returns is a refusal, which may rest on earlier changes of the same round. So the
	// caller is told the refusal only when the round is durable; if the round fails, the caller is told that instead.
	run     func(*batch) error
	refused error

	done chan error // holds one value
}

// end tells the caller what became of the round.
func (c *change) end(err error) {
	if err == nil {
		err = c.refused
	}
	c.done <- err
}

// commit makes one change, together with others that wait at the same time. The context is asked only before the change is
// given away: nobody could take the change back later.
func (e *engine) commit(ctx context.Context, size int, run func(*batch) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &change{engine: e, run: run, size: size, done: make(chan error, 1)}
	e.vault.make(c)
	return <-c.done
}

// apply runs c in the round under way, and begins a round if there is none. It reports whether the round has drafts by now.
func (e *engine) apply(c *change, l ledger) (changed bool) {
	e.mu.RLock()
	stopped := e.stopped
	e.mu.RUnlock()
	if e.round == nil {
		e.round = &batch{engine: e, now: time.Now()}
	}
	e.round.ledger = l
	if stopped {
		c.refused = ErrStopped
	} else {
		c.refused = c.run(e.round)
	}
	return len(e.round.drafts) > 0
}

// seal writes the drafts of the round.
func (e *engine) seal() error {
	for _, d := range e.round.drafts {
		e.trim(d)
		if err := e.round.ledger.write(d); err != nil {
			return err
		}
	}
	return nil
}

// trim moves the start of a stream that has grown beyond what is retained. It drops whole units, as long as the rest is
// still as large as what is to be kept. What this very round appends is left for the next one.
func (e *engine) trim(d *draft) {
	keep := Position(e.options.retain)
	if keep == 0 || d.will.removed || d.will.Tail-d.will.Start <= keep {
		return
	}
	start, limit := d.will.Start, d.will.Tail-keep
	if limit <= start || d.was.Tail <= start {
		return
	}
	next, _, err := e.vault.span(segment{d.was.key, d.was.Start, start, d.was.Tail, d.was.units}, limit)
	if err == nil && next <= limit {
		d.will.Start = next
	}
}

// publish ends the round. If err is nil, the round is durable: publish shows its drafts, and wakes whoever waits for one of
// the streams.
func (e *engine) publish(err error) {
	b := e.round
	e.round = nil
	if b == nil || err != nil {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range b.drafts {
		s := d.was
		s.state = d.will
		if e.options.volatile {
			s.units = append(s.units, d.units...)
			forget(s)
		}
		if d.touch {
			s.touched = b.now
		}
		switch {
		case s.removed && e.names[s.name] == s:
			delete(e.names, s.name)
			s.units = nil
		case d.fresh && !s.removed:
			e.names[s.name] = s
			e.watchLocked(s)
		}
		s.wakeLocked()
	}
}

// stop refuses every later call and ends those that wait.
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

// watchLocked starts the sweeper if s may expire.
func (e *engine) watchLocked(s *stream) {
	if s.perishable() && e.sweep == nil && !e.stopped {
		e.sweep = time.AfterFunc(sweepEvery, e.expire)
	}
}

// sweepEvery is how long an expired stream may take up space. Nobody sees an expired stream, removed or not.
const sweepEvery = time.Second

// expire removes what has expired, and starts itself again while there are perishable streams.
func (e *engine) expire() {
	e.mu.Lock()
	e.sweep = nil // a stream that is published from here on, and not looked at below, starts the sweeper anew
	e.mu.Unlock()
	now := time.Now()
	var names []string
	more := false
	e.mu.RLock()
	for name, s := range e.names {
		if s.perishable() && !s.Gone {
			if more = true; s.expired(now) {
				names = append(names, name)
			}
		}
	}
	e.mu.RUnlock()
	if len(names) > 0 {
		// If this fails, the next sweep tries again.
		_ = e.commit(context.Background(), 0, func(b *batch) error {
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
