package s2

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// An Error is what the server answered when it refused. Find it with [errors.As]; what to do about it is said by the
// sentinels of package backend that are wrapped beside it.
type Error struct {
	Status  int    // the HTTP status
	Code    string // S2's code, such as "stream_not_found"; one of the constants below for 412 and 416, which have none
	Message string // for people; may be empty

	SeqNum uint64   // CodeSeqNumMismatch: what the next record would get
	Token  string   // CodeFencingTokenMismatch: the stream's token
	Tail   Position // CodeRangeNotSatisfiable: the stream's tail

	wait time.Duration
}

// Codes of this package for the answers that come without one.
const (
	CodeSeqNumMismatch       = "seq_num_mismatch"
	CodeFencingTokenMismatch = "fencing_token_mismatch"
	CodeRangeNotSatisfiable  = "range_not_satisfiable"
)

func (e *Error) Error() string {
	switch e.Code {
	case CodeSeqNumMismatch:
		return fmt.Sprintf("status %d: the next sequence number is %d", e.Status, e.SeqNum)
	case CodeFencingTokenMismatch:
		return fmt.Sprintf("status %d: the stream's fencing token is another", e.Status)
	case CodeRangeNotSatisfiable:
		return fmt.Sprintf("status %d: beyond the tail, which is at %d", e.Status, e.Tail.SeqNum)
	}
	s := fmt.Sprintf("status %d", e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// RetryAfter returns how long the server asks to wait, 0 when it does not say.
func (e *Error) RetryAfter() time.Duration { return e.wait }

// Routine reports whether a server refused because it is about to stop. Producers, consumers and read sessions open again
// without counting that as a failed attempt.
func (e *Error) Routine() bool {
	return e.Code == codeDraining && e.Status == verdicts[codeDraining].status
}

// codeDraining is what a server says that is about to stop.
const codeDraining = "server_draining"

// A ProtocolError is an answer that breaks the protocol: a malformed frame, an ack for records that were not sent.
type ProtocolError struct{ Err error }

func (e *ProtocolError) Error() string { return "the server broke the protocol: " + e.Err.Error() }

// Unwrap returns what is wrong.
func (e *ProtocolError) Unwrap() error { return e.Err }

func protocolErrorf(format string, args ...any) error {
	return &ProtocolError{fmt.Errorf(format, args...)}
}

// parseError reads an error body. It always makes an Error: a body that is none becomes the message. The secrets are
// hidden before a text is cut: half of one is a secret too, and is not recognised.
func parseError(status int, body []byte, hidden redact.Secrets) *Error {
	e := &Error{Status: status}
	// Numbers are read as they are, not by way of float64: sequence numbers have 64 bits.
	var b struct {
		Code    string    `json:"code"`
		Message string    `json:"message"`
		SeqNum  *uint64   `json:"seq_num_mismatch"`
		Token   *string   `json:"fencing_token_mismatch"`
		Tail    *Position `json:"tail"`
	}
	if err := json.Unmarshal(body, &b); err != nil {
		e.Message = httpwire.Clip(strings.ToValidUTF8(strings.TrimSpace(hidden.Text(string(body))), "?"))
		return e
	}
	e.Code, e.Message = httpwire.Clip(hidden.Code(b.Code)), httpwire.Clip(hidden.Text(b.Message))
	switch {
	case status == 412 && b.Token != nil:
		e.Code, e.Token = CodeFencingTokenMismatch, *b.Token
	case status == 412 && b.SeqNum != nil:
		e.Code, e.SeqNum = CodeSeqNumMismatch, *b.SeqNum
	case status == 416 && b.Tail != nil:
		e.Code, e.Tail = CodeRangeNotSatisfiable, *b.Tail
	}
	return e
}
