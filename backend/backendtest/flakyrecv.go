package backendtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// pump takes the acks from below until the session below ends.
func (s *flakySession) pump() {
	defer close(s.pumped)
	for {
		ack, err := s.below.Recv(context.Background()) // ended by Close
		if err != nil {
			s.update(func() {
				if s.reason != nil && !s.closed && !s.dead && !s.settled() {
					s.reason = err // it knows better than we what became of the rest
				}
				s.dieLocked(err, never)
				s.durable = never
			})
			return
		}
		ack.Seq += s.base
		s.appender.store(ack)
		s.deliver(ack)
		s.update(func() { s.durable = ack.Seq + 1 })
	}
}

// deliver queues an ack that the store gave, or what the faults leave of it.
func (s *flakySession) deliver(ack backend.Ack) {
	s.mu.Lock()
	muted := ack.Seq >= s.cut || s.closed
	s.mu.Unlock()
	if muted {
		return
	}
	flaky := s.appender.flaky
	e := flaky.decide(Call{Op: OnAck, Session: s.number, Seq: ack.Seq}, &s.recvs)
	seq := ack.Seq
	switch e.kind {
	case "Fail":
		s.die(flaky.lost("recv", e.err), seq)
		return
	case "LoseAck":
		s.update(func() { s.silent = true })
		return
	case "Stall":
		s.update(func() { s.stalled, s.silent, s.cut = true, true, min(s.cut, seq) })
		return
	case "ForgeAck":
		ack = e.ack(ack)
	}
	s.update(func() {
		due := time.Now().Add(e.delay)
		if n := len(s.queue); n > 0 && s.queue[n-1].due.After(due) {
			due = s.queue[n-1].due // acks stay in order
		}
		s.queue = append(s.queue, delivery{ack: ack, seq: seq, due: due})
	})
}

// settled reports whether nothing is under way to the store or back, with the lock held.
func (s *flakySession) settled() bool { return !s.sending && s.durable >= s.given }

// wait returns when ok holds, or with ctx's error.
func (s *flakySession) wait(ctx context.Context, ok func() bool) error {
	for {
		s.mu.Lock()
		done, changed := ok(), s.changed
		s.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (s *flakySession) Recv(ctx context.Context) (backend.Ack, error) {
	for {
		s.mu.Lock()
		ack, wait, err := s.poll(time.Now())
		changed := s.changed
		s.mu.Unlock()
		switch {
		case err != nil:
			return backend.Ack{}, err
		case ack != nil:
			s.appender.tell(ack.seq)
			return ack.ack, nil
		}
		if err := idle(ctx, wait, changed); err != nil {
			s.update(func() {
				s.dieLocked(err, 0)
				s.dead = true
			})
			return backend.Ack{}, err
		}
	}
}

// poll returns the next ack, or why there is none any more, or how long to wait for it (0: until something changes).
func (s *flakySession) poll(now time.Time) (*delivery, time.Duration, error) {
	if s.closed || s.dead {
		return nil, 0, s.reason
	}
	if len(s.queue) > 0 && s.queue[0].seq < s.cut {
		first := s.queue[0]
		if wait := first.due.Sub(now); wait > 0 {
			return nil, wait, nil
		}
		s.queue = s.queue[1:]
		return &first, 0, nil
	}
	if s.reason == nil {
		return nil, 0, nil
	}
	wait := s.expiry.Sub(now)
	if !s.settled() && wait > 0 {
		return nil, wait, nil
	}
	if !s.settled() {
		s.reason = s.appender.flaky.lost("recv", nil)
	}
	if s.silent && s.appender.untold() && !errors.Is(s.reason, backend.ErrIndeterminate) {
		s.reason = s.unsure()
	}
	s.dead = true
	return nil, 0, s.reason
}

// unsure adds to the reason that batches may be stored, as it speaks of those whose acks were dropped, too.
func (s *flakySession) unsure() error {
	if errors.Is(s.reason, backend.ErrTransient) { // which says that trying again is safe
		return s.appender.flaky.lost("session", nil)
	}
	return fmt.Errorf("%w: %w", s.reason, backend.ErrIndeterminate)
}

// idle waits for a change, at most for d unless that is 0.
func idle(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
	var due <-chan time.Time
	if d > 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		due = t.C
	}
	select {
	case <-changed:
		return nil
	case <-due:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("flaky: recv: %w: %w", backend.ErrIndeterminate, ctx.Err())
	}
}
