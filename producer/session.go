package producer

import (
	"context"
	"time"

	"github.com/headrace/headrace/backend"
)

// runSession sends and receives until s ends, and returns the reason: nil when everything is decided after a Close. When
// runSession returns, s is closed and the goroutine that sent has ended, so no two goroutines send at the same time.
//
// Four parties can end a session. The store ends a session with the error of Recv. The watchdog or the sender ends a session
// with endSession, and endIdle ends a session without work. An abort, or a Close whose time is up, cancels ctx.
func (e *engine) runSession(ctx context.Context, opened backend.Session) error {
	s := &closeOnce{Session: opened, logger: e.logger, closed: make(chan struct{})}
	no := e.beginSession(s)

	// When ctx ends, closing s unblocks both goroutines.
	defer context.AfterFunc(ctx, s.close)()
	sending, stopSending := context.WithCancel(ctx)
	sendEnded := make(chan struct{})
	go func() {
		defer close(sendEnded)
		e.send(sending, s, no)
	}()
	reason := e.receive(ctx, s)
	e.stopTimers()
	stopSending()
	s.close()
	<-sendEnded

	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.Open = false
	switch {
	case e.endReason == errDrained:
		return nil
	case e.endReason != nil:
		return e.endReason // we closed the session, so the error of Recv says only that the session was closed
	}
	return reason
}

// beginSession resets the state of the session before, and makes the timers of this session. The watchdog runs only while the
// store owes an ack.
func (e *engine) beginSession(s *closeOnce) (no uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.window.sent, e.window.recordsInFlight = 0, 0
	e.endReason, e.sendFailed = nil, false
	e.sessionNo++
	no = e.sessionNo
	if e.ackTimeout > 0 {
		e.watchdog = time.AfterFunc(e.ackTimeout, func() { e.endSilent(s, no) })
		e.watchdog.Stop() // nextPart starts the watchdog with the first part
	}
	if e.idleTimeout > 0 {
		e.ackedAtLook = e.window.firstSeq
		e.idleLook = time.AfterFunc(e.idleTimeout, func() { e.endIdle(s, no) })
	}
	return no
}

// stopTimers stops the timers of the session, and forgets them. Otherwise a timer would keep the memory of the session until the
// next session begins, and an idle producer would keep a session that has ended.
func (e *engine) stopTimers() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.watchdog != nil {
		e.watchdog.Stop()
	}
	if e.idleLook != nil {
		e.idleLook.Stop()
	}
	e.watchdog, e.idleLook = nil, nil
}

// endIdle looks whether session number no has had work since the look before, and ends the session if there was none. There is
// one look in each IdleTimeout, so the session ends after one to two times IdleTimeout without work. A timer that begins anew with
// each batch would be exact, but would cost time with each batch.
func (e *engine) endIdle(s *closeOnce, no uint64) {
	e.mu.Lock()
	// The batcher counts a record until the record is decided: records that linger are work too, and so are the records of a batch on
	// its way from the batcher to the window.
	held, _ := e.queue.Held()
	worked := held > 0 || e.window.firstSeq != e.ackedAtLook
	current := e.sessionNo == no && e.endReason == nil && e.idleLook != nil
	switch {
	case current && worked:
		e.ackedAtLook = e.window.firstSeq
		e.idleLook.Reset(e.idleTimeout)
	case current:
		// The reason is set before the lock is released, and nextPart returns nothing for a session with a reason. Otherwise a
		// batch could be sent at this moment: the batch would be in doubt, and errIdle says that nothing is in doubt.
		e.endReason = errIdle
	}
	e.mu.Unlock()
	if current && !worked {
		s.close()
	}
}

// endSilent ends session number no, because the store has owed an answer for AckTimeout. The watchdog may fire while an ack arrives. If
// the ack gets the lock first, the store does not owe an ack any more, or owes the next ack for a moment only. Without another look,
// we would end a session that works.
func (e *engine) endSilent(s *closeOnce, no uint64) {
	e.mu.Lock()
	silent := e.sessionNo == no && e.owedLocked() && time.Since(e.window.owedSince) >= e.ackTimeout
	if silent && e.endReason == nil {
		e.endReason = errAckTimeout
	}
	e.mu.Unlock()
	if silent {
		s.close()
	}
}

// owedLocked reports whether the open session owes an ack, or the reason why Send failed.
func (e *engine) owedLocked() bool { return e.window.sent > 0 || e.sendFailed }

// endSession ends session number no from our side; the first reason counts. The number keeps a late reason of one session from
// becoming the reason of the next session.
func (e *engine) endSession(s *closeOnce, no uint64, reason error) {
	e.mu.Lock()
	if e.endReason == nil && e.sessionNo == no {
		e.endReason = reason
	}
	e.mu.Unlock()
	s.close()
}
