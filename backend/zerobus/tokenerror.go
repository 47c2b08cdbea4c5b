package zerobus

import (
	"fmt"
	"time"

	"github.com/headrace/headrace/internal/httpwire"
)

// A TokenError is a failure of the token endpoint. An error of package backend is wrapped together with the TokenError:
//
//   - [backend.ErrTransient] if another attempt may help: the network failed, or the status is 429 or at least 500.
//   - [backend.ErrRejected] if a setting is wrong: no request can be made, or no token endpoint is there.
//   - [backend.ErrUnauthorized] if the endpoint refused.
type TokenError struct {
	Status int    // of HTTP; 0 if there was no answer
	Code   string // of OAuth, for example invalid_client; empty if the answer has no code

	// Description is the endpoint's text for people, for example about a missing privilege on a table; empty if the answer
	// has no description.
	Description string

	Err error

	failure tokenFailure
	after   time.Duration
}

// Error describes the answer in short.
func (e *TokenError) Error() string {
	s := "token endpoint"
	if e.Status != 0 {
		s += fmt.Sprintf(": status %d", e.Status)
	}
	if e.Code != "" {
		s += ": " + httpwire.Clip(e.Code)
	}
	if e.Description != "" {
		s += ": " + httpwire.Clip(e.Description)
	}
	if e.Err != nil {
		s += ": " + httpwire.Clip(e.Err.Error())
	}
	return s
}

// Unwrap returns the cause; nil if the endpoint answered with an OAuth error.
func (e *TokenError) Unwrap() error { return e.Err }

// RetryAfter is how long the endpoint asks to wait, at most an hour; 0 if the endpoint does not say.
func (e *TokenError) RetryAfter() time.Duration { return e.after }
