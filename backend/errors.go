package backend

import (
	"errors"
	"fmt"
	"time"
)

// The errors of a backend say what to do. A backend wraps one or two of these errors and the cause:
//
//	fmt.Errorf("s2: append: %w: %w", backend.ErrTransient, cause)
//
// An error without any of these errors in its tree is fatal.
var (
	// ErrTransient: trying again is safe. The batch was not stored, or the store knows a resend by its seq.
	ErrTransient = errors.New("transient failure")

	// ErrIndeterminate: the batch may be stored. Together with ErrTransient: the batch may be stored, and a resend does
	// not store the batch twice.
	ErrIndeterminate = errors.New("outcome unknown")

	// ErrRejected: the store will never take this record or batch. Together with ErrIndeterminate from Recv: the store
	// refused one of the unacknowledged batches, and the batches before the refused batch may be stored.
	ErrRejected = errors.New("rejected")

	// ErrTooLarge: a record or batch exceeds a limit. The message names the limit, the size and the record.
	ErrTooLarge = errors.New("too large")

	// ErrFenced: a newer writer or consumer has taken this place.
	ErrFenced = errors.New("fenced by a newer owner")

	// ErrConflict: the stream does not hold what was expected, or a seq was used again.
	ErrConflict = errors.New("conflict")

	// ErrOutOfRange: the offset is trimmed, beyond the tail, or an offset of another stream; or records are missing
	// between the place asked for and the first record of the stream.
	ErrOutOfRange = errors.New("offset out of range")

	// ErrNotFound: there is no such stream.
	ErrNotFound = errors.New("not found")

	// ErrUnauthorized: the credentials are missing, expired or not enough.
	ErrUnauthorized = errors.New("unauthorized")

	// ErrUnsupported: the backend has no such function. ErrUnsupported wraps [errors.ErrUnsupported].
	ErrUnsupported = fmt.Errorf("not supported by this backend: %w", errors.ErrUnsupported)

	// ErrStreamClosed: an append to a stream that is closed for good. A reader gets io.EOF instead.
	ErrStreamClosed = errors.New("stream is closed")

	// ErrClosed: used after Close.
	ErrClosed = errors.New("used after Close")
)

// A RecordError names the refused record of a batch, where a store names the record.
type RecordError struct {
	Index int // in the batch
	Err   error
}

func (e *RecordError) Error() string { return fmt.Sprintf("record %d: %v", e.Index, e.Err) }

// Unwrap returns what is wrong with the record.
func (e *RecordError) Unwrap() error { return e.Err }

// RetryAfter returns how long the store asks to wait before trying again, from the first error in err's tree with a
// method RetryAfter() time.Duration; 0 when there is none.
func RetryAfter(err error) time.Duration {
	var r interface{ RetryAfter() time.Duration }
	if errors.As(err, &r) {
		return max(r.RetryAfter(), 0)
	}
	return 0
}

// Routine reports whether err is part of a store's normal work, such as a server that asks its clients to move to another
// server: the tree of err has an error with a method Routine() bool, and the method returns true. After a routine error,
// a caller waits before the next opening as after any other error, but does not count a failed attempt.
func Routine(err error) bool {
	var r interface{ Routine() bool }
	return errors.As(err, &r) && r.Routine()
}
