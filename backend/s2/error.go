package s2

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// An Error is a refusal by the server. Find an Error with [errors.As]. The sentinels of package backend beside the Error say what
// to do.
type Error struct {
	Status  int    // the HTTP status
	Code    string // S2's code, such as "stream_not_found". For 412 and 416, S2 sends no code, and Code is a constant below
	Message string // for people; may be empty

	SeqNum uint64   // CodeSeqNumMismatch: the sequence number of the next record
	Token  string   // CodeFencingTokenMismatch: the stream's token
	Tail   Position // CodeRangeNotSatisfiable: the stream's tail

	wait time.Duration
}

// Codes of this package for answers without a code of S2.
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
		return fmt.Sprintf("status %d: the stream has another fencing token", e.Status)
	case CodeRangeNotSatisfiable:
		return fmt.Sprintf("status %d: beyond the tail, which is at %d", e.Status, e.Tail.SeqNum)
	}
	// The code comes before the message: an operator searches for the code, and S2 may change its messages.
	s := fmt.Sprintf("status %d", e.Status)
	if e.Code != "" {
		s += " " + e.Code
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	return s
}

// RetryAfter returns how long the server asks to wait, at most an hour; 0 if the server does not ask.
func (e *Error) RetryAfter() time.Duration { return e.wait }

// Routine reports whether a server refused because the server is about to stop. Producers, consumers and read sessions open again
// and do not count a failed attempt.
func (e *Error) Routine() bool {
	return e.Code == codeDraining && e.Status == verdicts[codeDraining].status
}

// Codes of S2 on which the client acts.
const (
	codeDraining       = "server_draining" // the server is about to stop
	codeStreamNotFound = "stream_not_found"
)

// A ProtocolError is an answer against the protocol: a malformed frame, for example, or an ack for records never sent.
type ProtocolError struct{ Err error }

func (e *ProtocolError) Error() string { return "the server broke the protocol: " + e.Err.Error() }

// Unwrap returns the details.
func (e *ProtocolError) Unwrap() error { return e.Err }

func protocolErrorf(format string, args ...any) error {
	return &ProtocolError{fmt.Errorf(format, args...)}
}

// parseError reads the body of an error. A body without S2's JSON becomes the message. parseError hides the secrets before it
// shortens a text, because redaction does not recognize half a secret.
func parseError(status int, body []byte, hidden redact.Secrets) *Error {
	e := &Error{Status: status}
	// The fields are integers, because a float64 cannot hold a sequence number of 64 bits.
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
