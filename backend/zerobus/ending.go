package zerobus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/redact"
)

// errClosing is why a session ends that the server has announced the end of.
var errClosing = &routineEnd{errors.New("the server is about to close the stream")}

// A routineEnd is the end of a session that is no failure: producers do not count it as an attempt.
type routineEnd struct{ error }

func (e *routineEnd) Unwrap() error { return e.error }

// Routine is what [backend.Routine] looks for.
func (e *routineEnd) Routine() bool { return true }

// rotate is what the server's announcement leads to: nothing more is taken, and what is under way is waited for. The
// pause ends as soon as that is acknowledged.
func (s *session) rotate(pause time.Duration) {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.reason != nil || s.closed {
		return
	}
	s.reason = s.wrap(fmt.Errorf("%w: %w", backend.ErrTransient, errClosing))
	wake(s.room)
	if s.settle(); s.finished {
		return
	}
	if limit := a.sink.cfg.pauseLimit; limit != nil {
		pause = min(pause, *limit)
	}
	s.timer = time.AfterFunc(pause, s.lastCall)
}

// lastCall ends a pause.
func (s *session) lastCall() {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if !s.told {
		s.finish()
	}
}

// end makes err the reason, if it is the first, and waits for the acks of what was sent for a moment. The lock is held.
func (s *session) end(err error) error {
	if s.reason == nil {
		s.reason = s.wrap(err)
		wake(s.room)
		s.finish()
	}
	return s.reason
}

// finish half-closes the stream, upon which a server sends the acks that it still has and ends the stream, and bounds the
// wait for that. The lock is held.
func (s *session) finish() {
	if s.finished {
		return
	}
	s.finished = true
	if s.timer != nil {
		s.timer.Stop() // that of a pause
	}
	s.timer = time.AfterFunc(lastAcks, s.kill)
	s.halfClose()
}

// halfClose does what finish has decided, as soon as no message is on its way: gRPC does not allow both at once. A second
// half-close does nothing. The lock is held.
func (s *session) halfClose() {
	if s.finished && !s.sending {
		_ = s.stream.CloseSend()
	}
}

// settle is for whenever a batch is acknowledged, handed over or refused: a session that has a reason to end and nothing
// left to wait for goes on to its end. The lock is held.
func (s *session) settle() {
	if s.reason != nil && s.taken == s.acked && !s.sending {
		s.finish()
	}
	s.halfClose()
}

// statement is how a stream ended, nil if it did not.
func statement(err error, hidden redact.Secrets) *Error {
	var said *Error
	switch {
	case err == nil:
		return nil
	case err == io.EOF:
		return &Error{Code: codes.OK, Message: "stream closed gracefully by server"}
	case errors.As(err, &said):
		return said
	}
	return fromStatus(err, hidden)
}

// tell decides the last words. The lock is held.
func (s *session) tell(said *Error) error {
	s.kill()
	if s.timer != nil {
		s.timer.Stop()
	}
	wake(s.room)
	s.told = true
	if s.closed {
		return s.errClosed()
	}
	s.reason = s.words(said)
	return s.reason
}

// words puts together why the session ends and what that means for what is not acknowledged.
func (s *session) words(said *Error) error {
	unacked := int(s.taken - s.acked)
	switch own := s.reason; {
	case own == nil:
		return s.wrap(ended(said, unacked, s.grant.token != nil))
	case errors.Is(own, errClosing):
		// A server may have more to say of a stream than that it closes it.
		if said != nil && said.Code != codes.OK && said.Code != codes.Canceled {
			return s.wrap(ended(said, unacked, s.grant.token != nil))
		}
		return s.wrap(fmt.Errorf("%w: %w", maybeStored(unacked), errClosing)) // routine, also where acks are missing
	case said != nil && said.Code == codes.InvalidArgument: // refused, which is more than that nothing more is taken
		return s.wrap(ended(said, unacked, false))
	case errors.As(own, new(*Error)) || errors.Is(own, context.Canceled) || errors.Is(own, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", maybeStored(unacked), own)
	case unacked > 0:
		return fmt.Errorf("%w: %w", backend.ErrIndeterminate, own)
	default:
		return own
	}
}
