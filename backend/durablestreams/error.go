package durablestreams

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// The errors of this protocol. Each error comes together with a sentinel of package backend.
var (
	// ErrExists: Create found a stream with another configuration. Comes with [backend.ErrConflict].
	ErrExists = errors.New("the stream exists with another configuration")

	// ErrGone: the stream was deleted while forks read from it, or the place asked for is no longer kept. Comes with
	// [backend.ErrOutOfRange] on reads and with [backend.ErrNotFound] otherwise.
	ErrGone = errors.New("gone")

	// ErrSequence: Stream-Seq does not go up, or the content type differs from the stream's. The protocol has the same status
	// for both. Comes with [backend.ErrConflict].
	ErrSequence = errors.New("sequence or content type conflict")

	// ErrRateLimited: status 429. Comes with [backend.ErrTransient]; [backend.RetryAfter] says how long to wait.
	ErrRateLimited = errors.New("rate limited")
)

// A ProtocolError is an answer that breaks the protocol, or breaks a limit of this client for everything besides data.
type ProtocolError struct{ Err error }

func (e *ProtocolError) Error() string { return "the server broke the protocol: " + e.Err.Error() }

// Unwrap returns the cause.
func (e *ProtocolError) Unwrap() error { return e.Err }

func protocolErrorf(format string, args ...any) error {
	return &ProtocolError{fmt.Errorf(format, args...)}
}

// An Error is a refusal of the server. Find an Error with [errors.As]; [errors.Is] finds the sentinels, and each sentinel tells a
// caller what to do.
type Error struct {
	Op      string // "create", "append", "read", …
	Status  int    // the HTTP status
	Message string // the server's, for people, without the credentials of the request; may be empty

	// Epoch is the server's current epoch of the producer when ours is stale, and -1 otherwise.
	Epoch int64

	// Expected and Received are sequences of a producer when the server reports a gap, and -1 otherwise.
	Expected, Received int64

	wait  time.Duration
	kinds []error
}

func (e *Error) Error() string {
	var text strings.Builder
	switch {
	case e.Epoch >= 0:
		fmt.Fprintf(&text, "status %d: stale producer epoch, the current epoch is %d", e.Status, e.Epoch)
	case e.Expected >= 0:
		fmt.Fprintf(&text, "status %d: gap in the producer's sequence, %d where %d is expected", e.Status, e.Received, e.Expected)
	default:
		fmt.Fprintf(&text, "status %d", e.Status)
		if s := http.StatusText(e.Status); s != "" {
			text.WriteString(" " + s)
		}
		for _, kind := range e.kinds {
			text.WriteString(": " + kind.Error())
		}
	}
	switch {
	case e.Message != "":
		text.WriteString(": " + e.Message)
	case e.Status == http.StatusNotFound:
		// The answer to a HEAD request has no body, and a producer begins with a HEAD request.
		text.WriteString(": no such stream, or the base URL is wrong (Stream.Create makes a stream)")
	}
	return text.String()
}

// Unwrap returns the sentinels for the status.
func (e *Error) Unwrap() []error { return e.kinds }

// RetryAfter returns how long the server asks to wait, at most an hour, and 0 when the server asks for no wait.
func (e *Error) RetryAfter() time.Duration { return e.wait }

// statuses maps a status to its meaning in every operation, and readStatuses to another meaning for a read. Only the offset of a
// read can be wrong, and therefore a read's 400 is about the offset.
var (
	statuses = map[int][]error{
		http.StatusBadRequest:            {backend.ErrRejected},
		http.StatusUnauthorized:          {backend.ErrUnauthorized},
		http.StatusForbidden:             {backend.ErrUnauthorized},
		http.StatusNotFound:              {backend.ErrNotFound},
		http.StatusMethodNotAllowed:      {backend.ErrUnsupported},
		http.StatusProxyAuthRequired:     {backend.ErrUnauthorized},
		http.StatusGone:                  {backend.ErrNotFound, ErrGone},
		http.StatusRequestEntityTooLarge: {backend.ErrTooLarge},
		http.StatusUnsupportedMediaType:  {backend.ErrRejected},
		http.StatusUnprocessableEntity:   {backend.ErrRejected},
		http.StatusTooManyRequests:       {backend.ErrTransient, ErrRateLimited},
		http.StatusNotImplemented:        {backend.ErrUnsupported},
	}
	readStatuses = map[int][]error{
		http.StatusBadRequest: {backend.ErrOutOfRange},
		http.StatusGone:       {backend.ErrOutOfRange, ErrGone},
	}
)

// statusError makes the error of an answer. Only the status and the headers decide on the meaning, because the protocol leaves
// the body open. statusError reads and closes the body.
func (s *Stream) statusError(op string, resp *http.Response) *Error {
	e := &Error{
		Op: op, Status: resp.StatusCode, Message: s.message(resp),
		Epoch: -1, Expected: -1, Received: -1, wait: httpwire.RetryAfter(resp.Header),
	}
	// The meaning is decided once, here, because e.Op and the headers belong to this answer.
	e.kinds = e.meaning(resp.Header)
	return e
}

// meaning returns the sentinels for the status, and takes what the headers say of a producer. A server that failed may have
// stored a body, but a read and a head store nothing.
func (e *Error) meaning(h http.Header) []error {
	failed := e.Status == http.StatusRequestTimeout || e.Status >= 500 && e.Status != http.StatusNotImplemented
	switch {
	case e.Status == http.StatusForbidden && (e.Op == "append" || e.Op == "seal") && h.Get("Producer-Epoch") != "":
		e.Epoch = numberOr(h.Get("Producer-Epoch"), -1)
		return []error{backend.ErrFenced}
	case e.Status == http.StatusConflict:
		return e.conflict(h)
	// ErrIndeterminate speaks of data that may be stored, and would make no sense for a read.
	case failed && (e.Op == "read" || e.Op == "head"):
		return []error{backend.ErrTransient}
	case failed:
		return []error{backend.ErrTransient, backend.ErrIndeterminate}
	case e.Op == "read" && readStatuses[e.Status] != nil:
		return readStatuses[e.Status]
	}
	return statuses[e.Status]
}

// conflict tells the conflicts apart. The protocol has one status for all of them.
func (e *Error) conflict(h http.Header) []error {
	switch {
	case isTrue(h.Get("Stream-Closed")):
		return []error{backend.ErrStreamClosed}
	case h.Get("Producer-Expected-Seq") != "":
		e.Expected = numberOr(h.Get("Producer-Expected-Seq"), -1)
		e.Received = numberOr(h.Get("Producer-Received-Seq"), -1)
		return []error{backend.ErrConflict}
	case e.Op == "create":
		return []error{backend.ErrConflict, ErrExists}
	}
	return []error{backend.ErrConflict, ErrSequence}
}

// messageBytes is how much of a body is read for its message. An error shows less: half a secret, cut off at the end and not
// recognized, is cut away again.
const messageBytes = 4 << 10

// message is the server's text for a refusal, in a single line. The HTML page of a proxy adds nothing to the status, and is left
// out.
func (s *Stream) message(resp *http.Response) string {
	defer discard(resp.Body)
	if t := mediaType(resp.Header.Get("Content-Type")); strings.HasSuffix(t, "html") {
		return ""
	}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, messageBytes))
	text := strings.Join(strings.Fields(strings.ToValidUTF8(string(body), "?")), " ")
	return httpwire.Clip(s.secrets(resp.Request).Text(text))
}
