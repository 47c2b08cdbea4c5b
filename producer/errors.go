package producer

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
)

// ErrFull means: the buffer is used up, and nothing was accepted. TryEnqueue returns ErrFull at once. Enqueue wraps ErrFull
// together with the error of its context when the context ends before there is room.
var ErrFull = batcher.ErrFull

// errClosed is the error of a producer after its Close.
var errClosed = fmt.Errorf("producer: %w", backend.ErrClosed)

// errAckTimeout ends a session whose ack is overdue. The batches that the session took may be stored.
var errAckTimeout = fmt.Errorf("no acknowledgement within AckTimeout: %w", backend.ErrIndeterminate)

// stopped is the error of a stopped producer: of its pending records and of later calls. The cause is about the producer as a
// whole, so stopped does not pass on every sentinel of the cause:
//
//   - ErrClosed always matches and ErrTransient never does, because the error is final: a caller who found ErrTransient would
//     try again for ever.
//   - ErrIndeterminate matches when the record in question may be stored. A record that no session took is not stored,
//     whatever the cause says.
//   - ErrRejected and ErrTooLarge never match. The cause may be the refusal of another record, and callers who put refused
//     records aside would put these records aside too.
type stopped struct {
	cause       error
	maybeStored bool
}

func (s *stopped) Error() string {
	if s.maybeStored {
		return fmt.Sprintf("producer: stopped, and records sent before may be stored: %v", s.cause)
	}
	return fmt.Sprintf("producer: stopped: %v", s.cause)
}

func (s *stopped) Is(target error) bool {
	switch target {
	case backend.ErrClosed:
		return true
	case backend.ErrIndeterminate:
		return s.maybeStored
	case backend.ErrTransient, backend.ErrRejected, backend.ErrTooLarge:
		return false
	}
	return errors.Is(s.cause, target)
}

func (s *stopped) As(target any) bool { return errors.As(s.cause, target) }

// refused is the error of a record that the store refused. The error of the store may be about several batches, so its
// ErrIndeterminate does not count: only an earlier session that was lost may have stored the record.
type refused struct {
	cause       error
	maybeStored bool // an earlier session took the record and was lost
}

func (r *refused) Error() string {
	if r.maybeStored {
		return fmt.Sprintf("producer: record refused, but an earlier attempt may have stored it: %v", r.cause)
	}
	return fmt.Sprintf("producer: record refused: %v", r.cause)
}

func (r *refused) Is(target error) bool {
	if target == backend.ErrIndeterminate {
		return r.maybeStored
	}
	return target != backend.ErrTransient && errors.Is(r.cause, target)
}

func (r *refused) As(target any) bool { return errors.As(r.cause, target) }
