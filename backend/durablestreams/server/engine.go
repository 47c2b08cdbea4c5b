package server

import (
	"context"
	"sync"
	"time"
)

// An engine is the part of a Storage that is the same wherever the bytes are kept: the rules of the protocol, who waits for
// what, and the grouping of concurrent changes into one commit of the vault below.
type engine struct {
	vault   vault
	options storageOptions

	// turn is held by whoever commits: a caller, on behalf of all that have queued up meanwhile. There is no goroutine for
	// it, hence none to stop.
	turn  chan struct{}
	queue struct {
		sync.Mutex
		changes []*change
	}

	// mu guards the names and what is published of each stream. Only the holder of turn writes them, so it reads them
	// without the lock.
	mu      sync.RWMutex
	names   map[string]*stream
	sweep   *time.Timer // runs while there are perishable streams
	stopped bool
}

// A vault keeps the bytes, the producers and the states of streams.
type vault interface {
	// begin starts the next commit. There is one at a time.
	begin() (ledger, error)

	// span returns the end of the last unit of s that ends at or below limit, or of the first one if that is beyond; not
	// beyond the segment's end. whole is false when the segment begins inside a unit.
	span(s segment, limit Position) (next Position, whole bool, err error)

	// reader returns the bytes of s up to next.
	reader(s segment, next Position) piece
}

// A piece is a part of a Chunk that one stream owns.
type piece interface {
	// readAt fills p from the position at on.
	readAt(p []byte, at Position) error
}

// A ledger is one commit in the making.
type ledger interface {
	newKey() (uint64, error)
	place(s *stream, id string) (place, bool, error)
	commit(drafts []*draft) error // durable when it returns
	rollback()
}

// A change is one call that alters streams. run works on drafts and may be followed by a failed commit.
type change struct {
	run  func(*batch) error
	size int
	err  error
	done chan struct{}
}

// groupBytes bounds what is committed in one step, so that the first caller of a group does not wait for a flood.
const groupBytes = 16 << 20

func newEngine(v vault, o storageOptions) *engine {
	return &engine{vault: v, options: o, turn: make(chan struct{}, 1), names: map[string]*stream{}}
}

// commit makes one change, together with others that wait at the same time.
func (e *engine) commit(ctx context.Context, size int, run func(*batch) error) error {
	// A change once queued is made: its caller's context is not asked again, since nobody could take it back.
	if err := ctx.Err(); err != nil {
		return err
	}
	c := &change{run: run, size: size, done: make(chan struct{})}
	e.queue.Lock()
	e.queue.changes = append(e.queue.changes, c)
	e.queue.Unlock()
	for {
		select {
		case <-c.done:
			return c.err
		case e.turn <- struct{}{}:
			e.group()
			<-e.turn
		}
	}
}

// group commits what is queued, up to groupBytes.
func (e *engine) group() {
	e.queue.Lock()
	n, size := 0, 0
	for n < len(e.queue.changes) && (n == 0 || size+e.queue.changes[n].size <= groupBytes) {
		size += e.queue.changes[n].size
		n++
	}
	group := e.queue.changes[:n:n]
	if n == len(e.queue.changes) {
		e.queue.changes = nil
	} else {
		e.queue.changes = e.queue.changes[n:]
	}
	e.queue.Unlock()
	if n == 0 {
		return
	}
	b := &batch{engine: e, now: time.Now()}
	err := e.attempt(b, group)
	for _, c := range group {
		if err != nil {
			c.err = err
		}
		close(c.done)
	}
}

func (e *engine) attempt(b *batch, group []*change) error {
	e.mu.RLock()
	stopped := e.stopped
	e.mu.RUnlock()
	if stopped {
		return ErrStopped
	}
	l, err := e.vault.begin()
	if err != nil {
		return err
	}
	b.ledger = l
	for _, c := range group {
		c.err = c.run(b)
	}
	if len(b.drafts) == 0 {
		l.rollback()
		return nil
	}
	for _, d := range b.drafts {
		e.trim(d)
	}
	if err := l.commit(b.drafts); err != nil {
		return err
	}
	e.publish(b)
	return nil
}

// trim moves the start of a stream that has grown beyond what is retained. Whole units go when the rest alone is enough.
func (e *engine) trim(d *draft) {
	keep := Position(e.options.retain)
	if keep == 0 || d.removed || d.Tail-d.Start <= keep {
		return
	}
	s, limit := d.stream, d.Tail-keep
	if limit <= d.Start || s.Tail <= d.Start {
		return // what this very commit brings is left for the next one
	}
	next, _, err := e.vault.span(segment{s.key, s.Start, d.Start, s.Tail, s.units}, limit)
	if err == nil && next <= limit {
		d.Start = next
	}
}

// publish shows what was committed, and wakes who waits for it.
func (e *engine) publish(b *batch) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range b.drafts {
		s := d.stream
		s.state = d.state
		if e.options.volatile {
			s.units = append(s.units, d.units...)
			forget(s)
		}
		if d.touch {
			s.touched = b.now
		}
		switch {
		case d.removed && e.names[s.name] == s:
			delete(e.names, s.name)
			s.units = nil
		case d.fresh && !d.removed:
			e.names[s.name] = s
			e.watch(s)
		}
		if s.changed != nil {
			close(s.changed)
			s.changed = nil
		}
	}
}

// stop refuses every later call and ends those that wait.
func (e *engine) stop() {
	e.turn <- struct{}{} // the commit under way is finished
	e.mu.Lock()
	e.stopped = true
	if e.sweep != nil {
		e.sweep.Stop()
	}
	for _, s := range e.names {
		if s.changed != nil {
			close(s.changed)
			s.changed = nil
		}
	}
	e.mu.Unlock()
	<-e.turn
}

// watch starts the sweeper if s may expire. The lock is held.
func (e *engine) watch(s *stream) {
	if s.perishable() && e.sweep == nil && !e.stopped {
		e.sweep = time.AfterFunc(sweepEvery, e.expire)
	}
}

// sweepEvery is how long an expired stream may take up space. Nobody sees it before either.
const sweepEvery = time.Second

// expire removes what has expired, and comes back for the rest.
func (e *engine) expire() {
	e.mu.Lock()
	e.sweep = nil // whatever is published from here on, and is not looked at below, starts it anew
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
		// A failure leaves them for the next time.
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
