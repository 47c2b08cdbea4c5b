package consumer

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/headrace/headrace/backend"
)

// A Handler does the work of one record. When the Handler returns nil, the record is done. Any error is a failure: the
// record is tried again as [Retries] says, unless [Permanent] says that no further attempt helps. ctx ends with the
// attempt ([AttemptTimeout]), and when a shutdown has waited for [DrainTimeout]. A handler must return soon after the end
// of ctx.
type Handler[T any] func(ctx context.Context, m Message[T]) error

// Permanent marks err: further attempts cannot help, and the record is given up at once.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

// RetryAfter says that the next attempt should not come before d. The failed attempt counts.
func RetryAfter(d time.Duration, err error) error {
	if err == nil {
		return nil
	}
	return &retryAfterError{d, err}
}

type retryAfterError struct {
	after time.Duration
	err   error
}

func (e *retryAfterError) Error() string             { return e.err.Error() }
func (e *retryAfterError) Unwrap() error             { return e.err }
func (e *retryAfterError) RetryAfter() time.Duration { return e.after }

// A PanicError is the error for a panic in a goroutine of the consumer, where the panic would otherwise end the process.
// In [Consumer.Process] a panic of a handler, and of the function given to [Consumer.KeyBy], counts as a failure of the
// record like any other error. A panic of the [DeadLetters], of the source, or of a hook of the reader ends the loop.
type PanicError struct {
	Value any    // of the panic
	Stack []byte // where it came from
}

func (e *PanicError) Error() string { return fmt.Sprintf("panic: %v\n%s", e.Value, e.Stack) }

// errGoexit says why a goroutine of the consumer has ended before its work was done.
var errGoexit = errors.New("a function of the caller called runtime.Goexit, as FailNow of a test does, and did not return")

// panicToError makes *err of a panic. Defer panicToError directly, because recover works only there.
func panicToError(err *error) {
	if p := recover(); p != nil {
		*err = &PanicError{Value: p, Stack: debug.Stack()}
	}
}

// A ProcessError ends [Consumer.Process]: a record has failed for good, and there are no [DeadLetters] to take the
// record. The checkpoint stays before the record.
type ProcessError struct {
	Record   backend.Record
	Attempts int
	Err      error // of the last attempt
}

func (e *ProcessError) Error() string {
	attempts := "attempts"
	if e.Attempts == 1 {
		attempts = "attempt"
	}
	return fmt.Sprintf("consumer: process: the record at %q failed after %d %s: %v", e.Record.Offset, e.Attempts, attempts, e.Err)
}

// Unwrap returns the error of the last attempt.
func (e *ProcessError) Unwrap() error { return e.Err }

func isPermanent(err error) bool { return errors.As(err, new(*permanentError)) }
