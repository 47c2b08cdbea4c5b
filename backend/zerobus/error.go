package zerobus

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/internal/httpwire"
)

// An Error has the words of the service. Errors of package backend are wrapped together with the Error. Find an Error with
// errors.As. A breach of the protocol is not an Error, but a [ProtocolError].
type Error struct {
	Code    codes.Code // gRPC's; OK if the server ended the stream without an error
	Message string     // for people; programs must not rely on the text

	// From the google.rpc.ErrorInfo of a refused schema; empty in other errors.
	Reason    string   // for example SCHEMA_VALIDATION_FAILED
	Causes    []string // for example FIELD_NOT_IN_TABLE, MISSING_REQUIRED_COLUMN, TYPE_INCOMPATIBLE
	ErrorCode string   // a number, for example 8001

	after      time.Duration
	httpStatus int // of a web server without gRPC; 0 if gRPC answered
}

// Error returns the code and the message, and the reason with its causes if there is a reason.
func (e *Error) Error() string {
	s := e.Code.String()
	if e.Message != "" {
		s += ": " + httpwire.Clip(e.Message)
	}
	if e.foreign() {
		s += " (" + notService + ")"
	}
	if e.Reason == "" {
		return s
	}
	return fmt.Sprintf("%s (%s)", s, httpwire.Clip(strings.Join(append([]string{e.Reason}, e.Causes...), " ")))
}

// RetryAfter is how long the service asks to wait before the next attempt, at most an hour; 0 if the service does not say.
func (e *Error) RetryAfter() time.Duration { return e.after }

// foreign reports whether a web server without gRPC answered. A server with the status 429, or 500 or more, may be a gateway
// in front of the service, and in trouble. foreign returns false for a gateway.
func (e *Error) foreign() bool {
	return e.httpStatus > 0 && e.httpStatus < 500 && e.httpStatus != http.StatusTooManyRequests
}

// refusesCredentials reports whether err is the service's, and other credentials may help.
func refusesCredentials(err error) bool {
	code, said := codeOf(err)
	return said && (code == codes.Unauthenticated || code == codes.PermissionDenied)
}

// A ProtocolError is a message against the protocol: a malformed message, for example, or an ack for a batch that was never
// sent. Find a ProtocolError with errors.As. The client ends the stream, because after one wrong message nothing that the
// server says can be believed. Another stream may go well, so the ProtocolError is wrapped with [backend.ErrTransient], or with
// [backend.ErrIndeterminate] if batches are not acknowledged.
type ProtocolError struct{ Err error }

func (e *ProtocolError) Error() string { return "the server broke the protocol: " + e.Err.Error() }

// Unwrap returns the details.
func (e *ProtocolError) Unwrap() error { return e.Err }

func protocolErrorf(format string, args ...any) error {
	return &ProtocolError{fmt.Errorf(format, args...)}
}

// endOfStream makes an [Error] of io.EOF. The server has ended the stream with OK. A producer with batches in flight has lost
// the stream all the same.
func endOfStream(err error) error {
	if err == io.EOF {
		return &Error{Code: codes.OK, Message: "stream closed gracefully by server"}
	}
	return err
}

// codeOf returns the code that the service said, and false if err is not the service's.
func codeOf(err error) (codes.Code, bool) {
	var said *Error
	if errors.As(err, &said) {
		return said.Code, true
	}
	return 0, false
}
