package backendtest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// pump takes the acks of the session below until that session ends.
func (s *flakySession) pump() {
	defer close(s.pumped)
	for {
		ack, err := s.below.Recv(context.Background()) // Close ends the wait
		if err != nil {
			s.update(func() {
				if s.reason != nil && !s.closed && !s.reasonReturned && !s.drainedLocked() {
					s.reason = err // the session below knows the fate of the remaining batches better than the fault does
				}
				s.endLocked(err, never)
				s.ackedBelow = never // no more acks come, so nobody needs to wait for them
			})
			return
		}
		ack.Seq += s.base
		s.appender.noteStored(ack)
		s.deliver(ack)
		s.update(func() { s.ackedBelow = ack.Seq + 1 })
	}
}

// deliver queues an ack of the store for Recv, after the faults have acted on the ack.
func (s *flakySession) deliver(ack backend.Ack) {
	s.mu.Lock()
	muted := ack.Seq >= s.muteFrom || s.closed
	s.mu.Unlock()
	if muted {
		return
	}
	flaky := s.appender.flaky
	e := flaky.effectOf(Call{Op: OnAck, Session: s.number, Seq: ack.Seq}, &s.recvs)
	seq := ack.Seq
	switch e.kind {
	case "Fail":
		s.update(func() {
			if s.reason != nil { // the reason stays, and says nothing about this ack
				s.ackDropped, s.muteFrom = true, min(s.muteFrom, seq)
			}
			s.endLocked(flaky.lostError("recv", e.err), seq)
		})
		return
	case "LoseAck":
		s.update(func() { s.ackDropped = true })
		return
	case "Stall":
		s.update(func() { s.stalled, s.ackDropped, s.muteFrom = true, true, min(s.muteFrom, seq) })
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

// drainedLocked reports whether no batch is on its way to the store below and no ack is on its way back.
func (s *flakySession) drainedLocked() bool { return !s.sendingBelow && s.ackedBelow >= s.handed }

// wait returns when ok returns true, or with the error of ctx. wait calls ok with the lock held.
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
		ack, wait, err := s.pollLocked(time.Now())
		changed := s.changed
		s.mu.Unlock()
		switch {
		case err != nil:
			return backend.Ack{}, err
		case ack != nil:
			s.appender.noteReturned(ack.seq)
			return ack.ack, nil
		}
		if err := awaitChange(ctx, wait, changed); err != nil {
			s.update(func() {
				s.endLocked(err, 0)
				s.reasonReturned = true
			})
			return backend.Ack{}, err
		}
	}
}

// pollLocked returns the next ack, or the reason why no ack follows, or how long to wait (0: until something changes).
func (s *flakySession) pollLocked(now time.Time) (*delivery, time.Duration, error) {
	if s.closed || s.reasonReturned {
		return nil, 0, s.reason
	}
	if len(s.queue) > 0 && s.queue[0].seq < s.muteFrom {
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
	// The session has ended. Before we return the reason, we wait until we know which batches the store below has.
	wait := s.expiry.Sub(now)
	if !s.drainedLocked() && wait > 0 {
		return nil, wait, nil
	}
	if !s.drainedLocked() {
		s.reason = s.appender.flaky.lostError("recv", nil)
	}
	hidden := s.ackDropped && s.appender.anyUnreturned() || refusal(s.reason) && s.appender.returned() < s.culprit
	if hidden && !errors.Is(s.reason, backend.ErrIndeterminate) {
		s.reason = s.unsureReasonLocked()
	}
	s.reasonReturned = true
	return nil, 0, s.reason
}

// unsureReasonLocked adds to the reason: batches may be stored. The reason is also about the batches whose acks a fault has
// dropped. Two reasons are replaced as a whole: ErrTransient says that a resend is safe, and the refusal of a batch that Send
// did not take would be understood as the refusal of a batch that was taken.
func (s *flakySession) unsureReasonLocked() error {
	if errors.Is(s.reason, backend.ErrTransient) || refusal(s.reason) && s.culprit == s.next {
		return s.appender.flaky.lostError("session", nil)
	}
	return fmt.Errorf("%w: %w", s.reason, backend.ErrIndeterminate)
}

// awaitChange waits for a change, at most for d. With d = 0 there is no limit.
func awaitChange(ctx context.Context, d time.Duration, changed <-chan struct{}) error {
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
