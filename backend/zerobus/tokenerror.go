package zerobus

import (
	"fmt"
	"time"

	"github.com/headrace/headrace/internal/httpwire"
)

// A TokenError is a failure of the token endpoint. It comes wrapped with an error of package backend:
//
//   - [backend.ErrTransient] if another attempt may help: the network failed, or the status is 429 or at least 500.
//   - [backend.ErrRejected] if a setting is wrong, so that no request can be made or no token endpoint is there.
//   - [backend.ErrUnauthorized] if the endpoint refused.
type TokenError struct {
	Status int    // of HTTP; 0 if there was no answer
	Code   string // of OAuth, such as invalid_client; empty if the answer has no code

	// Description is what the endpoint says to people, such as which privilege is missing on which table; empty if the
	// answer has no description.
	Description string

	Err error

	failure tokenFailure
	after   time.Duration
}

// Error says in short what the endpoint answered.
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

// Unwrap returns what went wrong on the way; nil if the endpoint answered with an OAuth error.
func (e *TokenError) Unwrap() error { return e.Err }

// RetryAfter is how long the endpoint asks to wait, at most an hour; 0 if it does not say.
func (e *TokenError) RetryAfter() time.Duration { return e.after }
