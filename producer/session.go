package producer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/headrace/headrace/backend"
)

// session sends and receives until s ends, and returns why: nil when everything is decided after a Close. When it
// returns, s is closed and its sender is gone.
func (e *engine) session(ctx context.Context, s backend.Session) error {
	e.mu.Lock()
	e.window.sent, e.window.flying, e.why, e.untaken = 0, 0, nil, false
	e.sessionNo++
	no := e.sessionNo
	if e.ackTimeout > 0 {
		e.watchdog = time.AfterFunc(e.ackTimeout, func() { e.cut(s, no, errAckTimeout) })
		e.watchdog.Stop() // until something is sent
	}
	watchdog := e.watchdog
	e.mu.Unlock()

	defer context.AfterFunc(ctx, func() { _ = s.Close() })() // a Close past its deadline ends both goroutines
	sending, stop := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		e.send(sending, s, no)
	}()
	reason := e.receive(ctx, s)
	if watchdog != nil {
		watchdog.Stop()
	}
	stop()
	if err := s.Close(); err != nil {
		e.logger.Warn("producer: closing a session failed", "err", err)
	}
	<-done

	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.why == errDrained:
		return nil
	case e.why != nil:
		return e.why
	}
	return reason
}

// cut ends session number no from this side. A watchdog that fires late must not speak of the session after.
func (e *engine) cut(s backend.Session, no uint64, why error) {
	e.mu.Lock()
	if e.why == nil && e.sessionNo == no {
		e.why = why
	}
	e.mu.Unlock()
	_ = s.Close() // session closes it again and reports
}

// send hands parts to the session: first what earlier sessions left, then what the batcher has. An error of the session
// stops it; why is for Recv to say.
func (e *engine) send(ctx context.Context, s backend.Session, no uint64) {
	held := false // by the window: what the batcher has has waited long enough
	for {
		p, seq, room := e.next()
		if p.flight != nil {
			err := s.Send(ctx, seq, p.records())
			e.sendReturned()
			if err != nil {
				e.notTaken(seq, p.taken)
				if is, _ := refusal(err); is {
					e.decline(ctx, s, no, err)
				}
				return
			}
			continue
		}
		if !room {
			held = true
			if !e.awaitSlot(ctx) {
				return
			}
			continue
		}
		if held {
			held = false
			e.queue.Hurry()
		}
		b, err := e.queue.Take(ctx)
		if err == nil {
			e.push(b)
			continue
		}
		if ctx.Err() == nil { // closed and empty: the session has done its work once all is decided
			for e.pending() {
				if !e.awaitSlot(ctx) {
					return
				}
			}
			e.cut(s, no, errDrained)
		}
		return
	}
}

// next marks the next part of the window as sent and returns it, as it was before, with its seq. Without one it reports
// whether there is room for more.
func (e *engine) next() (p part, seq uint64, room bool) {
	e.mu.Lock()
	w := &e.window
	limit := e.limits.Load().InFlight
	if limit > 0 && w.sent >= limit || w.held() {
		e.mu.Unlock()
		return part{}, 0, false
	}
	if w.sent == len(w.parts) {
		e.mu.Unlock()
		return part{}, 0, true
	}
	i := w.sent
	p, seq = w.parts[i], w.next+uint64(i)
	p.attempts++
	w.parts[i].attempts, w.parts[i].taken = p.attempts, true // before Send, whose ack may come before it returns
	w.parts[i].sentAt = time.Now()
	w.sent++
	w.flying += p.hi - p.lo
	e.loan = loan{flight: p.flight}
	if i == 0 && e.watchdog != nil { // the oldest is what the store owes: those behind it do not prolong its time
		e.watchdog.Reset(e.ackTimeout)
	}
	e.stats.Batches++
	pick := sent
	if p.attempts > 1 {
		e.stats.Resent++
		pick = resent
	}
	e.mu.Unlock()
	tell(e, pick, p.event(seq, nil))
	return p, seq, true
}

// notTaken corrects what next assumed: the session did not take the part, so it is as stored as it was before.
func (e *engine) notTaken(seq uint64, before bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := &e.window
	if i := int(seq - w.next); i >= 0 && i < w.sent {
		for _, p := range w.parts[i:w.sent] {
			w.flying -= p.hi - p.lo
		}
		w.sent = i
		w.parts[i].attempts--
		w.parts[i].taken = before
		e.untaken = true
	}
}

// awaitSlot waits until the window has got shorter.
func (e *engine) awaitSlot(ctx context.Context) bool {
	select {
	case <-e.slot:
		return true
	case <-ctx.Done():
		return false
	}
}

func (e *engine) pending() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.window.parts) > 0
}

// receive takes acks until the session's last words.
func (e *engine) receive(ctx context.Context, s backend.Session) error {
	for {
		ack, err := s.Recv(ctx)
		if err != nil {
			return err
		}
		if err := e.ack(ack); err != nil {
			return err // fatal: what a sink that miscounts has stored nobody knows
		}
	}
}

// ack decides the parts up to ack.Seq.
func (e *engine) ack(a backend.Ack) error {
	e.mu.Lock()
	w := &e.window
	if a.Seq < w.next || a.Seq-w.next >= uint64(w.sent) {
		first, sent := w.next, w.sent
		e.mu.Unlock()
		return fmt.Errorf("the sink acknowledged seq %d, where %d batches from seq %d on were sent", a.Seq, sent, first)
	}
	n := int(a.Seq-w.next) + 1
	var events []BatchEvent
	var over []*flight
	for i, p := range w.parts[:n] {
		s := span{first: p.lo, n: p.hi - p.lo}
		if i == n-1 { // one ack for several batches knows the places of the last only
			s.offsetOf = a.OffsetOf
		}
		if p.decide(s) {
			over = append(over, p.flight)
		}
		e.stats.Acked += uint64(s.n)
		if len(e.hooks) > 0 {
			events = append(events, p.event(w.next+uint64(i), nil))
		}
	}
	w.cleared(n, e.limits.Load())
	if e.watchdog != nil {
		if w.sent > 0 {
			e.watchdog.Reset(e.ackTimeout)
		} else {
			e.watchdog.Stop()
		}
	}
	e.mu.Unlock()
	e.recovered()
	e.settle(over, acked, events)
	return nil
}

// settle does, off the lock, what follows a decision.
func (e *engine) settle(over []*flight, pick func(*Hooks) func(BatchEvent), events []BatchEvent) {
	for _, f := range over {
		e.retire(f)
	}
	select {
	case e.slot <- struct{}{}:
	default:
	}
	for _, ev := range events {
		tell(e, pick, ev)
	}
}

func (p *part) event(seq uint64, err error) BatchEvent {
	return BatchEvent{
		Seq: seq, Records: p.hi - p.lo, Bytes: p.metered, Cause: p.Cause, Attempt: p.attempts,
		Elapsed: time.Since(p.First), Err: err,
	}
}

// progress counts what has been decided.
func (e *engine) progress() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.window.next
}

// judge says what follows from a session's last words: a refusal is carried out, anything that may be tried again is,
// and the rest is returned as fatal.
func (e *engine) judge(reason error) (refused bool, fatal error) {
	e.mu.Lock()
	sent := e.window.sent // what the last words speak of
	suspects := sent
	if e.untaken { // the last words may be the refusal of the part that Send did not take
		suspects++
	}
	e.mu.Unlock()
	if is, unsure := refusal(reason); is && suspects > 0 {
		return true, e.refuse(reason, suspects, unsure && suspects > 1)
	}
	switch {
	case certain(reason):
		e.mu.Lock()
		e.window.free()
		e.mu.Unlock()
		return false, reason
	case errors.Is(reason, backend.ErrFenced): // whatever else is unknown: who has taken the place keeps it
		return false, reason
	case errors.Is(reason, backend.ErrIndeterminate):
		if sent > 0 && e.atMostOnce && !errors.Is(reason, backend.ErrTransient) {
			return false, reason
		}
		e.mu.Lock()
		e.window.lose()
		e.mu.Unlock()
		return false, nil
	case errors.Is(reason, backend.ErrTransient):
		return false, nil
	}
	return false, reason
}

// certain reports whether reason is final and says that nothing is stored of what the session took and did not acknowledge.
// What an earlier session took may be stored all the same.
func certain(reason error) bool {
	if errors.Is(reason, backend.ErrIndeterminate) {
		return false
	}
	for _, kind := range []error{backend.ErrFenced, backend.ErrConflict, backend.ErrNotFound, backend.ErrUnauthorized, backend.ErrStreamClosed} {
		if errors.Is(reason, kind) {
			return !errors.Is(reason, backend.ErrTransient)
		}
	}
	return false
}

// opened and lost tell of a session's beginning and end.
func (e *engine) opened(failures int, took time.Duration) {
	e.mu.Lock()
	e.stats.Sessions++
	ev := SessionEvent{Attempt: failures + 1, Unacked: e.window.taken(), Elapsed: took}
	e.mu.Unlock()
	e.logger.Info("producer: session opened", "attempt", ev.Attempt, "unacked", ev.Unacked, "took", took)
	tell(e, opened, ev)
}

func (e *engine) lost(reason error, failures int, lived time.Duration) {
	e.mu.Lock()
	ev := SessionEvent{Attempt: failures + 1, Unacked: e.window.taken(), Elapsed: lived, Err: reason}
	e.mu.Unlock()
	level := slog.LevelWarn
	if !e.outage.since.IsZero() || ev.Unacked == 0 && errors.Is(reason, backend.ErrTransient) {
		level = slog.LevelInfo // one of many in an outage, or a routine end
	}
	e.logger.Log(context.Background(), level, "producer: session lost", "unacked", ev.Unacked, "lived", lived, "err", reason)
	tell(e, lost, ev)
}
