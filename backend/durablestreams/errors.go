package durablestreams

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// What is particular to this protocol. Each comes together with a sentinel of package backend.
var (
	// ErrExists: Create found a stream with another configuration. Comes with [backend.ErrConflict].
	ErrExists = errors.New("the stream exists with another configuration")

	// ErrGone: the stream was deleted while forks read from it, or the place asked for is no longer kept. Comes with
	// [backend.ErrOutOfRange] on reads and [backend.ErrNotFound] otherwise.
	ErrGone = errors.New("gone")

	// ErrSequence: Stream-Seq does not go up, or the content type is another one: the protocol has one answer for both.
	// Comes with [backend.ErrConflict].
	ErrSequence = errors.New("sequence or content type conflict")

	// ErrRateLimited: 429. Comes with [backend.ErrTransient]; [backend.RetryAfter] says for how long.
	ErrRateLimited = errors.New("rate limited")

	// ErrMalformed: the server's answer breaks the protocol or a limit of this client.
	ErrMalformed = errors.New("malformed answer")
)

// A StatusError is an answer other than success. errors.Is finds the sentinels in it.
type StatusError struct {
	Op     string // "create", "append", "read", …
	Status int    // HTTP

	// Epoch is the server's current producer epoch where the answer is that ours is stale, -1 otherwise.
	Epoch int64

	// Expected and Received are sequences of a producer where the answer is that there is a gap, -1 otherwise.
	Expected, Received int64

	retryAfter time.Duration
	kinds      []error
}

func (e *StatusError) Error() string {
	switch {
	case e.Epoch >= 0:
		return fmt.Sprintf("status %d: stale producer epoch, the current one is %d", e.Status, e.Epoch)
	case e.Expected >= 0:
		return fmt.Sprintf("status %d: producer sequence gap, %d where %d is expected", e.Status, e.Received, e.Expected)
	}
	text := http.StatusText(e.Status)
	for _, kind := range e.kinds {
		if text != "" {
			text += ": "
		}
		text += kind.Error()
	}
	return fmt.Sprintf("status %d %s", e.Status, text)
}

// Unwrap returns the sentinels that the answer stands for.
func (e *StatusError) Unwrap() []error { return e.kinds }

// RetryAfter is how long the server asked to wait, at most an hour; 0 when it did not ask.
func (e *StatusError) RetryAfter() time.Duration { return e.retryAfter }

// statusError makes the error of an answer. The body is not looked at: the protocol does not say what it holds.
func statusError(op string, resp *http.Response) *StatusError {
	e := &StatusError{Op: op, Status: resp.StatusCode, Epoch: -1, Expected: -1, Received: -1, retryAfter: httpwire.RetryAfter(resp.Header)}
	h := resp.Header
	switch s := resp.StatusCode; {
	case s == http.StatusForbidden && (op == "append" || op == "close") && h.Get("Producer-Epoch") != "":
		if n, ok := number(h.Get("Producer-Epoch")); ok {
			e.Epoch = n
		}
		e.kinds = []error{backend.ErrFenced}
	case s == http.StatusUnauthorized, s == http.StatusForbidden, s == http.StatusProxyAuthRequired:
		e.kinds = []error{backend.ErrUnauthorized}
	case s == http.StatusNotFound:
		e.kinds = []error{backend.ErrNotFound}
	case s == http.StatusGone && op == "read":
		e.kinds = []error{backend.ErrOutOfRange, ErrGone}
	case s == http.StatusGone:
		e.kinds = []error{backend.ErrNotFound, ErrGone}
	case s == http.StatusConflict && isTrue(h.Get("Stream-Closed")):
		e.kinds = []error{backend.ErrStreamClosed}
	case s == http.StatusConflict && h.Get("Producer-Expected-Seq") != "":
		if n, ok := number(h.Get("Producer-Expected-Seq")); ok {
			e.Expected = n
		}
		if n, ok := number(h.Get("Producer-Received-Seq")); ok {
			e.Received = n
		}
		e.kinds = []error{backend.ErrConflict}
	case s == http.StatusConflict && op == "create":
		e.kinds = []error{backend.ErrConflict, ErrExists}
	case s == http.StatusConflict:
		e.kinds = []error{backend.ErrConflict, ErrSequence}
	case s == http.StatusRequestEntityTooLarge:
		e.kinds = []error{backend.ErrTooLarge}
	case s == http.StatusTooManyRequests:
		e.kinds = []error{backend.ErrTransient, ErrRateLimited}
	case s == http.StatusBadRequest && op == "read":
		e.kinds = []error{backend.ErrOutOfRange} // the offset is all that a read can have wrong
	case s == http.StatusMethodNotAllowed, s == http.StatusNotImplemented:
		e.kinds = []error{backend.ErrUnsupported}
	case s == http.StatusRequestTimeout, s >= 500:
		e.kinds = []error{backend.ErrTransient, backend.ErrIndeterminate}
		if op == "read" || op == "head" {
			e.kinds = e.kinds[:1]
		}
	case s == http.StatusBadRequest, s == http.StatusUnsupportedMediaType, s == http.StatusUnprocessableEntity:
		e.kinds = []error{backend.ErrRejected}
	}
	return e
}

func malformed(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrMalformed}, args...)...)
}
