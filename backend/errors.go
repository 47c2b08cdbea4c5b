package backend

import (
	"errors"
	"fmt"
	"time"
)

// The errors of a backend say what to do. A backend wraps one or two of them and the cause:
//
//	fmt.Errorf("s2: append: %w: %w", backend.ErrTransient, cause)
//
// An error that wraps none of them is fatal.
var (
	// ErrTransient: trying again is safe. It was not stored, or the store knows a resend by its seq.
	ErrTransient = errors.New("transient failure")

	// ErrIndeterminate: it may be stored. Together with ErrTransient: it may be stored, and a resend will not store it
	// twice.
	ErrIndeterminate = errors.New("outcome unknown")

	// ErrRejected: the store will never take this record or batch. Together with ErrIndeterminate from Recv: it is one of
	// the batches not acknowledged, and those before it may be stored.
	ErrRejected = errors.New("rejected")

	// ErrTooLarge: a record or batch exceeds a limit. The message names the limit, the size and the record.
	ErrTooLarge = errors.New("too large")

	// ErrFenced: a newer writer or consumer has taken this place.
	ErrFenced = errors.New("fenced by a newer owner")

	// ErrConflict: the stream does not hold what was expected, or a seq was used again.
	ErrConflict = errors.New("conflict")

	// ErrOutOfRange: the offset is trimmed, beyond the tail, or not one of this stream; or records are missing between
	// the place asked for and the first record there is.
	ErrOutOfRange = errors.New("offset out of range")

	// ErrNotFound: there is no such stream.
	ErrNotFound = errors.New("not found")

	// ErrUnauthorized: the credentials are missing, expired or not enough.
	ErrUnauthorized = errors.New("unauthorized")

	// ErrUnsupported: this backend cannot do that. It wraps [errors.ErrUnsupported].
	ErrUnsupported = fmt.Errorf("not supported by this backend: %w", errors.ErrUnsupported)

	// ErrStreamClosed: an append to a stream that is closed for good. A reader gets io.EOF instead.
	ErrStreamClosed = errors.New("stream is closed")

	// ErrClosed: used after Close.
	ErrClosed = errors.New("used after Close")
)

// A RecordError names the record of a batch that the store refused, where a store says so.
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
// one: it is in err's tree an error with a method Routine() bool that says so. Whoever opens again after such an error
// waits as after any other, but does not count it as a failed attempt.
func Routine(err error) bool {
	var r interface{ Routine() bool }
	return errors.As(err, &r) && r.Routine()
}
