package zerobus

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// An Error has the words of the service, or describes how the service broke the protocol. Errors of package backend are
// wrapped together with the Error. Find an Error with errors.As.
type Error struct {
	Code    codes.Code // gRPC's; OK if the server ended the stream without an error
	Message string     // for people; programs must not rely on the text

	// From the google.rpc.ErrorInfo of a refused schema; empty in other errors.
	Reason    string   // for example SCHEMA_VALIDATION_FAILED
	Causes    []string // for example FIELD_NOT_IN_TABLE, MISSING_REQUIRED_COLUMN, TYPE_INCOMPATIBLE
	ErrorCode string   // a number, for example 8001

	after time.Duration
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

// fromStatus makes an Error of an error of gRPC, without the secrets.
func fromStatus(err error, hidden redact.Secrets) *Error {
	st, _ := status.FromError(err)
	e := &Error{Code: st.Code(), Message: hidden.Text(st.Message())}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			if d.GetDomain() != "" && d.GetDomain() != "zerobus.databricks.com" {
				continue
			}
			e.Reason, e.ErrorCode = hidden.Code(d.GetReason()), hidden.Code(d.GetMetadata()["error_code"])
			for c := range strings.SplitSeq(d.GetMetadata()["causes"], ",") {
				if c = strings.TrimSpace(c); c != "" {
					e.Causes = append(e.Causes, hidden.Code(c))
				}
			}
		case *errdetails.RetryInfo:
			e.after = min(max(d.GetRetryDelay().AsDuration(), 0), httpwire.LongestWait)
		}
	}
	return e
}

// foreign reports whether a web server without gRPC answered. A server with the status 429, or 500 or more, may be a gateway
// in front of the service, and in trouble. foreign returns false for a gateway. grpc-go gives the error no type, so we
// compare the text.
func (e *Error) foreign() bool {
	status, is := strings.CutPrefix(e.Message, "unexpected HTTP status code received from server: ")
	return is && !strings.HasPrefix(status, "5") && !strings.HasPrefix(status, "429")
}

// refusesCredentials reports whether other credentials may help.
func (e *Error) refusesCredentials() bool {
	return e.Code == codes.Unauthenticated || e.Code == codes.PermissionDenied
}

// breach describes how the server broke the protocol.
func breach(what string) *Error { return &Error{Code: codes.Internal, Message: what} }

// statement makes an Error of an error of RecvMsg, which ends the stream.
func statement(err error, hidden redact.Secrets) *Error {
	var said *Error
	switch {
	case err == io.EOF:
		return &Error{Code: codes.OK, Message: "stream closed gracefully by server"}
	case errors.As(err, &said):
		return said
	}
	return fromStatus(err, hidden)
}
