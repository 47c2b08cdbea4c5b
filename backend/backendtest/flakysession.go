package backendtest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// drainTime is how long the end of a session waits for the acks of the store below. We wait for two reasons: the last error of
// Recv must be true of the store, and with Dedup we must recognize a resend, or the batch would be stored twice. A store that
// acknowledges at all is much faster.
const drainTime = time.Second

// flakySession stands between a producer and a session of the store below. A goroutine (pump) takes the acks from below as they
// come. So the flakySession knows which batches are stored, even when the faults keep the acks from the producer.
//
// A batch passes three places, and each has a counter of seqs: next (taken from the producer), handed (handed to the session
// below) and ackedBelow (acknowledged by the session below). A fourth counter, for acks returned to the producer, is in the
// flakyAppender, because it outlives the session.
//
// A flakySession does not stand on [backend.Pipelined], because Pipelined holds every session to the contract, and a fault must
// be able to break the contract: Pipelined would reject a forged ack, while a test wants to see what the producer does with the ack.
//
// Lock order: the session's mu before the appender's mu.
type flakySession struct {
	appender *flakyAppender
	below    backend.Session
	number   int    // of the session on its sink, for Call.Session
	inFlight int    // Limits.InFlight; 0 is no limit
	base     uint64 // the seq that is seq 0 of the session below

	timer    *time.Timer   // of Lifetime; nil without
	pumped   chan struct{} // closed when pump has returned
	released chan struct{} // closed when the first Close is over

	sends, recvs, closes int // counters of calls, for the script

	mu             sync.Mutex
	changed        chan struct{} // closed and made anew at every change of the fields below
	next           uint64        // the seq that Send expects
	handed         uint64        // seqs below were handed to the session below
	ackedBelow     uint64        // seqs below were acknowledged by the session below
	queue          []delivery    // acks for Recv
	muteFrom       uint64        // acks of seqs from here on are not delivered
	reason         error         // why the session takes nothing more; nil while it does
	culprit        uint64        // the batch whose Send failed, or that is refused, where that is the reason
	ended          chan struct{} // closed when reason is set
	expiry         time.Time     // Recv returns the reason at this time at the latest, even without acks from below
	stalled        bool          // nothing more is handed to the session below
	ackDropped     bool          // a fault has dropped an ack
	sendingBelow   bool          // Send of the session below is running
	abortSend      context.CancelFunc
	reasonReturned bool // Recv has returned the reason
	closed         bool // Close was called
}

// A delivery is an ack on its way to Recv.
type delivery struct {
	ack backend.Ack // the ack that Recv returns; ForgeAck may have changed it
	seq uint64      // the batch that the store has acknowledged
	due time.Time   // when Recv may return the ack
}

// never is a seq that no batch reaches.
const never = ^uint64(0)

// newFlakySession begins a session. e is the effect on the opening: Stall and Lifetime act on the session later.
func newFlakySession(a *flakyAppender, below backend.Session, inFlight, number int, e Effect) *flakySession {
	s := &flakySession{
		appender: a, below: below, number: number, inFlight: inFlight,
		pumped: make(chan struct{}), released: make(chan struct{}), changed: make(chan struct{}), ended: make(chan struct{}),
		muteFrom: never, abortSend: func() {}, stalled: e.kind == "Stall",
	}
	a.mu.Lock()
	s.next, s.handed, s.ackedBelow = a.acked, a.acked, a.acked
	if a.flaky.Dedup {
		// The session below goes on behind the last batch that is stored, even when the producer sends stored batches again.
		s.handed, s.ackedBelow = a.stored, a.stored
	} else {
		s.base = a.acked // the Appender below is new and counts from 0
	}
	a.mu.Unlock()
	a.flaky.live.add(s)
	if e.kind == "Lifetime" {
		expire := func() { s.end(notTakenError("session", e.err), never) }
		if e.life <= 0 {
			expire()
		} else {
			s.timer = time.AfterFunc(e.life, expire)
		}
	}
	go s.pump()
	return s
}

// update changes the state with the lock held and wakes everyone who waits for a change.
func (s *flakySession) update(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
	close(s.changed)
	s.changed = make(chan struct{})
}

// end makes the session take nothing more, and drops the acks of seqs from muteFrom on. The first reason counts.
func (s *flakySession) end(reason error, muteFrom uint64) {
	s.update(func() { s.endLocked(reason, muteFrom) })
}

func (s *flakySession) endLocked(reason error, muteFrom uint64) {
	if s.reason == nil {
		s.reason, s.muteFrom, s.expiry = reason, min(s.muteFrom, muteFrom), time.Now().Add(drainTime)
		close(s.ended)
	}
}

// breakNow ends the session for Break: every ack that Recv has not returned yet is lost.
func (s *flakySession) breakNow(reason error) { s.end(reason, 0) }

func (s *flakySession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	var reason error
	s.update(func() {
		if seq != s.next {
			err := fmt.Errorf("flaky: send: seq %d, but seq %d is next: %w", seq, s.next, backend.ErrConflict)
			s.endLocked(err, never)
		}
		reason = s.reason
	})
	if reason != nil {
		return reason
	}
	e := s.appender.flaky.effectOf(Call{Op: OnSend, Session: s.number, Seq: seq, Records: recs}, &s.sends)
	err := pause(ctx, e, s.ended)
	if err == nil {
		err = s.awaitRoom(ctx)
	}
	if err != nil {
		s.end(fmt.Errorf("flaky: send: %w: %w", backend.ErrTransient, err), never)
	}
	return s.take(ctx, e, seq, recs)
}

// awaitRoom waits until a stalled session may take another batch. A session that is not stalled does not wait here, because the
// session below waits for room.
func (s *flakySession) awaitRoom(ctx context.Context) error {
	for {
		s.mu.Lock()
		full := s.stalled && s.inFlight > 0 && s.next-s.appender.returned() >= uint64(s.inFlight)
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

// take decides whether the batch is taken, and applies the effect. The decision happens under the same lock as the last error
// of Recv. With two locks a batch could be taken after Recv had returned the reason, and nobody would learn its fate.
func (s *flakySession) take(ctx context.Context, e Effect, seq uint64, recs []backend.Record) error {
	flaky := s.appender.flaky
	s.mu.Lock()
	if s.reason == nil && (e.kind == "Fail" || e.kind == "Refuse") {
		s.culprit = seq
	}
	if s.reason == nil && e.kind == "Fail" {
		s.mu.Unlock()
		s.end(notTakenError("send", e.err), seq)
		s.mu.Lock()
	}
	if reason := s.reason; reason != nil {
		s.mu.Unlock()
		return reason
	}
	s.next++ // from here on the batch is taken
	switch e.kind {
	case "DropAfter":
		s.muteFrom = min(s.muteFrom, seq) // now, before the store can acknowledge the batch
	case "DropBefore":
		s.mu.Unlock()
		s.end(flaky.lostError("send", e.err), seq)
		return nil
	case "Refuse":
		s.mu.Unlock()
		muteFrom := seq
		if errors.Is(e.err, backend.ErrIndeterminate) { // the store cannot say which batch it refused: the acks before are lost
			muteFrom = 0
		}
		s.end(injectedError("send", e.err), muteFrom)
		return nil
	case "Stall":
		s.stalled, s.muteFrom = true, min(s.muteFrom, seq)
	}
	if s.stalled {
		s.mu.Unlock()
		return nil // the store never gets the batch
	}
	if ack, ok := s.appender.knownAck(seq); ok { // a resend that the store recognizes
		s.mu.Unlock()
		s.deliver(ack)
		if e.kind == "DropAfter" {
			s.end(flaky.lostError("send", e.err), seq)
		}
		return nil
	}
	call, cancel := context.WithCancel(ctx)
	defer cancel()
	s.sendingBelow, s.abortSend = true, cancel
	s.mu.Unlock()
	return s.hand(call, e, seq, recs)
}

// hand gives the batch to the session below, with no lock held, because Send below may block.
func (s *flakySession) hand(ctx context.Context, e Effect, seq uint64, recs []backend.Record) error {
	err := s.below.Send(ctx, seq-s.base, recs)
	s.update(func() {
		s.sendingBelow = false
		if err != nil {
			s.next-- // the batch was not taken; Recv of the session below says why
		} else {
			s.handed = seq + 1
		}
	})
	if err == nil && e.kind == "DropAfter" {
		s.end(s.appender.flaky.lostError("send", e.err), seq)
	}
	return err
}

func (s *flakySession) Close() error {
	var again bool
	var abort context.CancelFunc
	s.update(func() {
		again, abort = s.closed, s.abortSend
		s.endLocked(nil, never)
		s.closed, s.reason = true, fmt.Errorf("flaky: %w", backend.ErrClosed)
	})
	if again { // The next session may be opened as soon as any Close has returned.
		<-s.released
		return nil
	}
	defer close(s.released)
	abort()
	if s.timer != nil {
		s.timer.Stop()
	}
	s.appender.flaky.live.remove(s)
	if s.appender.flaky.Dedup {
		// The acks still on their way tell us which batches are stored. Without them we would not recognize a resend.
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		s.wait(ctx, s.drainedLocked)
		cancel()
	}
	err := s.below.Close()
	<-s.pumped
	s.appender.noteClosed()
	e := s.appender.flaky.effectOf(Call{Op: OnClose, Session: s.number}, &s.closes)
	if e.kind == "Fail" {
		return notTakenError("close", e.err)
	}
	return err
}
