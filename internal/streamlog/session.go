package streamlog

import (
	"context"
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
)

// A session copies what it takes, in Send, so lent memory is never read once Send has returned. All its fields are under
// the appender's lock, except the channels: one token each, which wakes the one Send or the one Recv that may wait.
type session struct {
	appender   *appender
	recv, send chan struct{}

	calls  sync.WaitGroup // the Send under way
	next   uint64         // the seq that Send expects
	reason error          // why nothing more is taken
	told   bool           // Recv has returned it
	closed bool
}

// Send copies recs and gives them to the store. It waits while InFlight batches are unacknowledged, and for the outcome of
// a batch that the session before had left with the store.
func (s *session) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	a := s.appender
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	refusal := a.log.check(recs)
	for {
		t, err := s.take(ctx, seq, len(recs), refusal)
		switch {
		case err != nil:
			return err
		case t == nil: // no room yet
			select {
			case <-s.send:
			case <-ctx.Done():
			case <-a.log.store.Board().Ended():
			}
		case t.session != s:
			return s.again(t, seq, recs)
		default:
			a.log.store.Commit(&Write{
				Records: recs,
				Begin:   func() bool { return a.begin(t) },
				Done:    func(first uint64, err error) { a.done(t, first, err) },
			})
			return nil
		}
	}
}

// enter counts the call, so that Close waits for it: until then it may read lent records. It does so for the time of a
// copy at most, as Close ends every wait of it.
func (s *session) enter() error {
	s.appender.mu.Lock()
	defer s.appender.mu.Unlock()
	if s.closed {
		return s.errClosed()
	}
	s.calls.Add(1)
	return nil
}

// take decides under the lock whether this batch is taken now: an error says no, nil that it must wait. What it returns
// may be of an earlier session, which has stored it.
func (s *session) take(ctx context.Context, seq uint64, n int, refusal error) (*taken, error) {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case s.closed:
		return nil, s.errClosed()
	case s.reason != nil:
		return nil, s.reason
	case seq != s.next:
		return nil, s.end(fmt.Errorf("%s: send: seq %d where %d is next: %w", a.log.name, seq, s.next, backend.ErrConflict))
	case ctx.Err() != nil:
		return nil, s.end(fmt.Errorf("%s: send: %w: %w", a.log.name, backend.ErrTransient, ctx.Err()))
	case a.log.store.Board().Err() != nil:
		return nil, s.end(fmt.Errorf("%s: send: %w", a.log.name, a.log.store.Board().Err()))
	case refusal != nil:
		return nil, s.end(fmt.Errorf("%s: send: batch %d: %w", a.log.name, seq, refusal))
	}
	if room := a.log.limits.InFlight; room > 0 && s.next-a.acked >= uint64(room) {
		return nil, nil
	}
	if i := int(seq - a.acked); i < len(a.taken) {
		if t := a.taken[i]; t.stored {
			return t, nil
		}
		return nil, nil
	}
	t := &taken{session: s, n: n}
	a.taken = append(a.taken, t)
	s.next++
	return t, nil
}

// again takes a batch that is stored already: its ack was lost with an earlier session. Other records under the same seq
// would vanish in that ack, so they are compared first.
func (s *session) again(t *taken, seq uint64, recs []backend.Record) error {
	a := s.appender
	same, err := a.log.holds(t.first, t.n, recs)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case s.closed:
		return s.errClosed()
	case s.reason != nil:
		return s.reason
	case err != nil:
		return s.end(fmt.Errorf("%s: send: compare batch %d with what is stored: %w", a.log.name, seq, err))
	case !same:
		return s.end(fmt.Errorf("%s: send: seq %d is stored with other records: %w", a.log.name, seq, backend.ErrConflict))
	}
	t.session = s
	s.next++
	s.wake()
	return nil
}

// Recv returns one ack a batch. While the store is at work on a batch it holds a reason back: the ack comes first.
func (s *session) Recv(ctx context.Context) (backend.Ack, error) {
	a := s.appender
	for {
		a.mu.Lock()
		working := a.acked < s.next && len(a.taken) > 0
		switch {
		case s.closed:
			defer a.mu.Unlock()
			return backend.Ack{}, s.errClosed()
		case working && a.taken[0].stored && !s.told:
			defer a.mu.Unlock()
			return s.ack(), nil
		case s.reason != nil && (s.told || !working):
			defer a.mu.Unlock()
			s.told = true
			return backend.Ack{}, s.reason
		}
		a.mu.Unlock()
		select {
		case <-s.recv:
		case <-a.log.store.Board().Ended():
			s.lost(a.log.store.Board().Err())
		case <-ctx.Done():
			s.lost(fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err()))
		}
	}
}

// ack takes the oldest batch off the list. The lock is held.
func (s *session) ack() backend.Ack {
	a := s.appender
	t, seq := a.taken[0], a.acked
	a.taken[0] = nil
	a.taken = a.taken[1:]
	a.acked++
	s.wake() // there is room, and perhaps a further ack
	first, n := t.first, t.n
	return backend.Ack{
		Seq:  seq,
		Next: FormatOffset(first + uint64(n)),
		OffsetOf: func(i int) backend.Offset {
			if i < 0 || i >= n {
				return ""
			}
			return FormatOffset(first + uint64(i))
		},
	}
}

// lost ends the session at once, without waiting for what the store is at work on. An ack that is there goes first.
func (s *session) lost(err error) {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	working := a.acked < s.next && len(a.taken) > 0
	if working && a.taken[0].stored {
		return
	}
	if working {
		err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	}
	s.reason, s.told = fmt.Errorf("%s: recv: %w", a.log.name, err), true
	s.wake()
}

// Close drops what the store has not begun. What it has begun goes on as a copy of its own; a later session hears of it.
func (s *session) Close() error {
	a := s.appender
	a.mu.Lock()
	if !s.closed {
		s.closed = true
		for i, t := range a.taken {
			if !t.begun {
				a.drop(i)
				break
			}
		}
		s.wake()
	}
	a.mu.Unlock()
	s.calls.Wait()
	return nil
}

// end refuses what comes from now on. The lock is held.
func (s *session) end(reason error) error {
	s.reason = reason
	s.wake()
	return reason
}

func (s *session) errClosed() error {
	return fmt.Errorf("%s: session: %w", s.appender.log.name, backend.ErrClosed)
}

// wake lets a waiting Send and a waiting Recv look again. The tokens stay for the next ones when none waits.
func (s *session) wake() {
	select {
	case s.recv <- struct{}{}:
	default:
	}
	select {
	case s.send <- struct{}{}:
	default:
	}
}
