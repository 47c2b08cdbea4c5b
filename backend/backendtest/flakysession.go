package backendtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// drainTime is how long the end of a session waits for the store below to say what it has: Recv's last words must be
// true of it, and with Dedup a resend would be stored twice. A store that acknowledges never takes that long.
const drainTime = time.Second

// flakySession sits between a producer and a session below. A goroutine takes the acks from below as they come, so that
// it is known what is stored even when the producer is not to be told.
type flakySession struct {
	appender *flakyAppender
	below    backend.Session
	number   int
	inFlight int
	base     uint64 // seq 0 of the session below

	timer  *time.Timer   // Lifetime
	pumped chan struct{} // closed when the acks from below have ended

	sends, recvs, closes int // for the script

	mu      sync.Mutex
	changed chan struct{} // closed and made anew at every change
	next    uint64        // the seq that Send expects
	given   uint64        // seqs below it went to the session below
	durable uint64        // seqs below it were acknowledged by it
	queue   []delivery
	cut     uint64        // acks from here on are withheld
	reason  error         // why nothing more is taken
	dying   chan struct{} // closed when there is a reason
	expiry  time.Time     // when the last words wait no longer for the store below
	stalled bool
	silent  bool               // acks were dropped on the way
	sending bool               // the session below is being given a batch
	abort   context.CancelFunc // of that
	dead    bool               // Recv has returned the reason
	closed  bool
}

type delivery struct {
	ack backend.Ack // what to say
	seq uint64      // what it is about
	due time.Time
}

const never = ^uint64(0)

func newFlakySession(a *flakyAppender, below backend.Session, inFlight, number int, e Effect) *flakySession {
	s := &flakySession{
		appender: a, below: below, number: number, inFlight: inFlight,
		pumped: make(chan struct{}), changed: make(chan struct{}), dying: make(chan struct{}),
		cut: never, abort: func() {}, stalled: e.kind == "Stall",
	}
	a.mu.Lock()
	s.next, s.given, s.durable = a.acked, a.acked, a.acked
	if a.flaky.Dedup {
		s.given, s.durable = a.stored, a.stored
	} else {
		s.base = a.acked
	}
	a.mu.Unlock()
	a.flaky.live.add(s)
	if e.kind == "Lifetime" {
		over := func() { s.die(refused("session", e.err), never) }
		if e.life <= 0 {
			over()
		} else {
			s.timer = time.AfterFunc(e.life, over)
		}
	}
	go s.pump()
	return s
}

// update changes the state and wakes whoever waits for that.
func (s *flakySession) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// die takes nothing more and withholds the acks from cut on; the first reason stands.
func (s *flakySession) die(reason error, cut uint64) {
	s.update(func() { s.dieLocked(reason, cut) })
}

func (s *flakySession) dieLocked(reason error, cut uint64) {
	if s.reason == nil {
		s.reason, s.cut, s.expiry = reason, min(s.cut, cut), time.Now().Add(drainTime)
		close(s.dying)
	}
}

func (s *flakySession) breakNow(reason error) { s.die(reason, 0) }

func (s *flakySession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	var reason error
	s.update(func() {
		if seq != s.next {
			err := fmt.Errorf("flaky: send: seq %d where %d is next: %w", seq, s.next, backend.ErrConflict)
			s.dieLocked(err, never)
		}
		reason = s.reason
	})
	if reason != nil {
		return reason
	}
	e := s.appender.flaky.decide(Call{Op: OnSend, Session: s.number, Seq: seq, Records: recs}, &s.sends)
	err := pause(ctx, e, s.dying)
	if err == nil {
		err = s.room(ctx)
	}
	if err != nil {
		s.die(fmt.Errorf("flaky: send: %w: %w", backend.ErrTransient, err), never)
	}
	return s.take(ctx, e, seq, recs)
}

// room waits until a stalled session may take one more batch; one that is not stalled waits below.
func (s *flakySession) room(ctx context.Context) error {
	for {
		s.mu.Lock()
		full := s.stalled && s.inFlight > 0 && s.next-s.appender.told() >= uint64(s.inFlight)
		changed, reason := s.changed, s.reason
		s.mu.Unlock()
		if !full || reason != nil {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// take decides, under one lock with Recv's last words, whether the batch is taken.
func (s *flakySession) take(ctx context.Context, e Effect, seq uint64, recs []backend.Record) error {
	flaky := s.appender.flaky
	s.mu.Lock()
	if s.reason == nil && e.kind == "Fail" {
		s.mu.Unlock()
		s.die(refused("send", e.err), seq)
		s.mu.Lock()
	}
	if reason := s.reason; reason != nil {
		s.mu.Unlock()
		return reason
	}
	s.next++
	switch e.kind {
	case "DropAfter":
		s.cut = min(s.cut, seq) // before the store can acknowledge it
	case "DropBefore":
		s.mu.Unlock()
		s.die(flaky.lost("send", e.err), seq)
		return nil
	case "Refuse":
		s.mu.Unlock()
		cut := seq
		if errors.Is(e.err, backend.ErrIndeterminate) {
			cut = 0
		}
		s.die(injected("send", e.err), cut)
		return nil
	case "Stall":
		s.stalled, s.cut = true, min(s.cut, seq)
	}
	if s.stalled {
		s.mu.Unlock()
		return nil
	}
	if ack, ok := s.appender.known(seq); ok {
		s.mu.Unlock()
		s.deliver(ack)
		if e.kind == "DropAfter" {
			s.die(flaky.lost("send", e.err), seq)
		}
		return nil
	}
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	s.sending, s.abort = true, cancel
	s.mu.Unlock()
	return s.give(call, e, seq, recs)
}

// give hands the batch to the session below.
func (s *flakySession) give(ctx context.Context, e Effect, seq uint64, recs []backend.Record) error {
	err := s.below.Send(ctx, seq-s.base, recs)
	s.update(func() {
		s.sending = false
		if err != nil {
			s.next-- // not taken; why is for the session below to say
		} else {
			s.given = seq + 1
		}
	})
	if err == nil && e.kind == "DropAfter" {
		s.die(s.appender.flaky.lost("send", e.err), seq)
	}
	return err
}

func (s *flakySession) Close() error {
	s.mu.Lock()
	again := s.closed
	s.mu.Unlock()
	if again {
		<-s.pumped
		return nil
	}
	var abort context.CancelFunc
	s.update(func() {
		s.dieLocked(nil, never)
		s.closed, s.reason = true, fmt.Errorf("flaky: %w", backend.ErrClosed)
		abort = s.abort
	})
	abort()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.appender.flaky.live.remove(s)
	if s.appender.flaky.Dedup {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		s.wait(ctx, s.settled)
		cancel()
	}
	err := s.below.Close()
	<-s.pumped
	s.appender.closed()
	e := s.appender.flaky.decide(Call{Op: OnClose, Session: s.number}, &s.closes)
	if e.kind == "Fail" {
		return refused("close", e.err)
	}
	return err
}
