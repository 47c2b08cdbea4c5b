package producer

import (
	"context"
	"time"
)

// send hands parts to the session: first the parts left from earlier sessions, then new batches of the batcher. send returns
// when ctx ends, when Send fails, or when everything is decided after a Close. Apart from a refusal, an error of Send does
// not tell why the session ended; Recv returns the reason.
func (e *engine) send(ctx context.Context, s *closeOnce, no uint64) {
	waitedForRoom := false
	for {
		p, seq, room := e.nextPart()
		if p.batchData != nil {
			if !e.sendPart(ctx, s, no, p, seq) {
				return
			}
			continue
		}
		if !room {
			waitedForRoom = true
			if !e.awaitShrunk(ctx) {
				return
			}
			continue
		}
		if waitedForRoom {
			// Records in the batcher have waited for the window meanwhile. They should not wait for the linger as well.
			waitedForRoom = false
			e.queue.Hurry()
		}
		b, err := e.queue.Take(ctx)
		if err != nil {
			if ctx.Err() == nil { // the batcher is closed and empty
				e.endDrained(ctx, s, no)
			}
			return
		}
		e.push(b)
	}
}

// sendPart gives a part to the session. sendPart returns false when the session takes nothing more.
func (e *engine) sendPart(ctx context.Context, s *closeOnce, no uint64, p part, seq uint64) bool {
	err := s.Send(ctx, seq, p.records())
	e.sendReturned() // also after an error: the session reads the records no more
	if err == nil {
		return true
	}
	e.notTaken(seq, p.taken)
	if isRefusal(err) {
		e.endRefused(ctx, s, no, err)
	}
	return false
}

// endRefused ends the session after Send refused a part. endRefused waits until every part sent before is decided, because
// then the refused part is the first part of the window, and a refusal is always about the first part. We close the session,
// because the contract does not say whether a session lives on after a refusal in Send.
func (e *engine) endRefused(ctx context.Context, s *closeOnce, no uint64, reason error) {
	for e.inFlight() > 0 {
		if !e.awaitShrunk(ctx) {
			return
		}
	}
	e.endSession(s, no, reason)
}

// endDrained ends the session after a Close, once everything is decided.
func (e *engine) endDrained(ctx context.Context, s *closeOnce, no uint64) {
	for e.pending() {
		if !e.awaitShrunk(ctx) {
			return
		}
	}
	e.endSession(s, no, errDrained)
}

// nextPart marks the next part of the window as sent, and returns a copy of the part with its seq. The copy holds the old value of
// taken, which notTaken needs when Send fails. When no part can be sent, p.batchData is nil, and room reports whether the session could
// take another batch. A session that we have ended takes nothing more: its parts wait for the next session.
func (e *engine) nextPart() (p part, seq uint64, room bool) {
	e.mu.Lock()
	w := &e.window
	limit := e.limits.Load().InFlight
	if limit > 0 && w.sent >= limit || w.mustWait() || e.endReason != nil {
		e.mu.Unlock()
		return part{}, 0, false
	}
	if w.sent == len(w.parts) {
		e.mu.Unlock()
		return part{}, 0, true
	}
	i := w.sent
	p, seq = w.parts[i], w.firstSeq+uint64(i)
	p.attempts++
	// We mark the part before Send is called, because the ack may arrive before Send returns.
	w.parts[i].attempts, w.parts[i].taken = p.attempts, true
	w.parts[i].sentAt = time.Now()
	if i == 0 {
		w.owedSince = w.parts[i].sentAt
	}
	w.sent++
	w.recordsInFlight += p.hi - p.lo
	e.loan = loan{batch: p.batchData}
	if i == 0 && e.watchdog != nil {
		// The store owes the ack of the oldest part. Parts sent later must not give the store more time, so only the oldest
		// part starts the watchdog.
		e.watchdog.Reset(e.ackTimeout)
	}
	e.stats.Batches++
	hook := hookSent
	if p.attempts > 1 {
		e.stats.Resent++
		hook = hookResent
	}
	e.mu.Unlock()
	callHooks(e, hook, p.event(seq, nil))
	return p, seq, true
}

// notTaken undoes the marks of nextPart, because Send failed and the session did not take the part. takenBefore says whether an
// earlier session took the part: if so, the part may be stored all the same. When an ack has removed the part meanwhile, the
// ack counts and there is nothing to undo.
func (e *engine) notTaken(seq uint64, takenBefore bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := &e.window
	if i := int(seq - w.firstSeq); i >= 0 && i < w.sent {
		for _, p := range w.parts[i:w.sent] {
			w.recordsInFlight -= p.hi - p.lo
		}
		w.sent = i
		w.parts[i].attempts--
		w.parts[i].taken = takenBefore
		e.sendFailed = true
	}
}

// awaitShrunk waits until the window has become shorter. awaitShrunk returns false when ctx ends first. The token may be old,
// so every caller checks its condition again.
func (e *engine) awaitShrunk(ctx context.Context) bool {
	select {
	case <-e.shrunk:
		return true
	case <-ctx.Done():
		return false
	}
}
