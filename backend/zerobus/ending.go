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
	if s.taken == s.acked && !s.sending {
		return // drained: receive sees it
	}
	limit := a.sink.cfg.pauseLimit
	switch {
	case limit != nil && *limit == 0:
		s.kill()
	case limit != nil && *limit < pause:
		s.timer = time.AfterFunc(*limit, s.lastCall)
	default:
		s.timer = time.AfterFunc(pause, s.lastCall)
	}
}

// lastCall ends a pause: the stream is half-closed, upon which a server sends the acks that it still has.
func (s *session) lastCall() {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if !s.closed && !s.told {
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

// finish half-closes the stream and bounds the wait for its end. The lock is held.
func (s *session) finish() {
	s.finished = true
	if s.taken == s.acked {
		s.kill() // nothing to wait for
		return
	}
	s.halfClose()
	s.timer = time.AfterFunc(lastAcks, s.kill)
}

// halfClose does what finish has decided, as soon as no message is on its way: gRPC does not allow both at once. The lock
// is held.
func (s *session) halfClose() {
	if s.finished && !s.sending && !s.closed {
		_ = s.stream.CloseSend()
	}
}

// drained reports whether the session has a reason to end and nothing left to wait for.
func (s *session) drained() bool {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	return s.reason != nil && s.taken == s.acked && !s.sending && !s.closed
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
	if s.closed {
		return s.errClosed()
	}
	s.told = true
	s.reason = s.words(said)
	if !s.appender.sink.cfg.recovery {
		s.reason = &terminalError{err: s.reason}
	}
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
		return s.wrap(fmt.Errorf("%w: %w", maybeStored(unacked), errClosing))
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
