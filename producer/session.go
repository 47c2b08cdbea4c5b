package producer

import (
	"context"
	"time"

	"github.com/headrace/headrace/backend"
)

// session sends and receives until s ends, and returns the reason: nil when everything is decided after a Close. When session
// returns, s is closed and the goroutine that sent has ended, so the next session never runs beside the sender of this one.
//
// Three parties can end a session. The store ends a session with the error of Recv. The watchdog, or the sender, ends a
// session with endSession. An abort, or a Close whose time is up, cancels ctx.
func (e *engine) session(ctx context.Context, s backend.Session) error {
	no, watchdog := e.beginSession(s)

	// When ctx ends, closing s unblocks both goroutines.
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	sending, stopSending := context.WithCancel(ctx)
	sendEnded := make(chan struct{})
	go func() {
		defer close(sendEnded)
		e.send(sending, s, no)
	}()
	reason := e.receive(ctx, s)
	if watchdog != nil {
		watchdog.Stop()
	}
	stopSending()
	if err := s.Close(); err != nil {
		e.logger.Warn("producer: closing a session failed", "err", err)
	}
	<-sendEnded

	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.endReason == errDrained:
		return nil
	case e.endReason != nil:
		return e.endReason // we ended the session, so the error of Recv is only the echo
	}
	return reason
}

// beginSession resets the state of the session before. The watchdog it returns is nil without AckTimeout, and runs only while
// the store owes an ack.
func (e *engine) beginSession(s backend.Session) (no uint64, watchdog *time.Timer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.window.sent, e.window.recordsInFlight = 0, 0
	e.endReason, e.sendFailed = nil, false
	e.sessionNo++
	no = e.sessionNo
	if e.ackTimeout > 0 {
		e.watchdog = time.AfterFunc(e.ackTimeout, func() { e.endSession(s, no, errAckTimeout) })
		e.watchdog.Stop() // next starts the watchdog with the first part
	}
	return no, e.watchdog
}

// endSession ends session number no from our side; the first reason counts. The number guards against a watchdog that fires
// late: its reason must not be taken for the reason of the next session.
func (e *engine) endSession(s backend.Session, no uint64, reason error) {
	e.mu.Lock()
	if e.endReason == nil && e.sessionNo == no {
		e.endReason = reason
	}
	e.mu.Unlock()
	_ = s.Close() // session closes s again and logs a failure of that Close
}
