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

// errAckTimeout ends a session that owed an ack for too long: what it took may be stored.
var errAckTimeout = fmt.Errorf("no acknowledgement within AckTimeout: %w", backend.ErrIndeterminate)

// stopped is the error of everything that a stopped producer still held: the cause, and whether this record may be
// stored. The cause speaks of all records at once, so a record that no session took must not inherit its
// ErrIndeterminate. Nor does any of them inherit a refusal: that was of another record, and whoever puts refused records
// aside would put these aside with it.
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
	case backend.ErrIndeterminate:
		return s.taken
	case backend.ErrRejected, backend.ErrTooLarge:
		return false
	}
	return errors.Is(s.cause, target)
}

func (s *stopped) As(target any) bool { return errors.As(s.cause, target) }

// refusal reports whether err condemns the first unacknowledged batch, and whether it may instead mean one behind it.
func refusal(err error) (is, unsure bool) {
	is = errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)
	return is, is && errors.Is(err, backend.ErrIndeterminate)
}
