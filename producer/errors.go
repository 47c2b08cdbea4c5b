package producer

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
)

// ErrFull: the buffer is used up. TryEnqueue returns it at once; Enqueue wraps it with its context's error when that
// ends before there is room. Nothing was accepted.
var ErrFull = batcher.ErrFull

// errClosed is what a producer says after its Close.
var errClosed = fmt.Errorf("producer: %w", backend.ErrClosed)

// errAckTimeout ends a session that owed an ack for too long: what it took may be stored.
var errAckTimeout = fmt.Errorf("no acknowledgement within AckTimeout: %w", backend.ErrIndeterminate)

// stopped is the error of everything that a stopped producer still held or is asked for: the cause, and whether this record
// may be stored. The cause speaks of all records at once, so a record that no session took must not inherit its
// ErrIndeterminate. Nor does any of them inherit a refusal: that was of another record, and whoever puts refused records
// aside would put these aside with it. It is final, so it is ErrClosed: a caller who found ErrTransient in it would try again
// for ever.
type stopped struct {
	cause error
	taken bool
}

func (s *stopped) Error() string {
	if s.taken {
		return fmt.Sprintf("producer: stopped, and what it had sent may be stored: %v", s.cause)
	}
	return fmt.Sprintf("producer: stopped: %v", s.cause)
}

func (s *stopped) Is(target error) bool {
	switch target {
	case backend.ErrClosed:
		return true
	case backend.ErrIndeterminate:
		return s.taken
	case backend.ErrTransient, backend.ErrRejected, backend.ErrTooLarge:
		return false
	}
	return errors.Is(s.cause, target)
}

func (s *stopped) As(target any) bool { return errors.As(s.cause, target) }

// refused is the error of a record that the store refused. The store's own words may speak of several batches, so they do
// not decide whether this record may be stored.
type refused struct {
	cause error
	lost  bool // a session before took the record and was lost
}

func (r *refused) Error() string {
	if r.lost {
		return fmt.Sprintf("producer: record refused, but an earlier attempt may have stored it: %v", r.cause)
	}
	return fmt.Sprintf("producer: record refused: %v", r.cause)
}

func (r *refused) Is(target error) bool {
	if target == backend.ErrIndeterminate {
		return r.lost
	}
	return target != backend.ErrTransient && errors.Is(r.cause, target)
}

func (r *refused) As(target any) bool { return errors.As(r.cause, target) }
