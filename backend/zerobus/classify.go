package zerobus

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/misconfig"
)

// A moment says how much may be stored when an error comes.
type moment int

const (
	opening moment = iota // nothing was sent
	idle                  // the stream was open, and the server has acknowledged every batch
	one                   // one batch is not acknowledged
	many                  // several batches are not acknowledged
	moments
)

// momentOf returns the moment on an open stream.
func momentOf(unanswered int) moment { return idle + moment(min(unanswered, 2)) }

// A verdict gives, for each moment, the errors of package backend to wrap. The moment matters because the same error means two
// things: before a batch was sent, trying again is safe; with a batch in flight, trying again may store rows twice.
type verdict [moments][]error

// The parts of verdicts.
var (
	transient     = []error{backend.ErrTransient}
	indeterminate = []error{backend.ErrIndeterminate}
	rejected      = []error{backend.ErrRejected}
	unauthorized  = []error{backend.ErrUnauthorized}
)

func always(sentinel error) verdict {
	s := []error{sentinel}
	return verdict{opening: s, idle: s, one: s, many: s}
}

// The verdicts without a code of gRPC.
var (
	// passing errors may be gone at the next attempt.
	passing = verdict{transient, transient, indeterminate, indeterminate}

	// permanent errors come from a wrong setting. Another attempt with the same setting changes nothing. On an open stream the
	// setting was right. A rejection would then tell the producer that no row in flight is stored.
	permanent = verdict{rejected, transient, indeterminate, indeterminate}

	// An explained error already wraps an error of package backend. Headers providers and checks return explained errors. An
	// error of unknown kind is treated alike: before the opening it is fatal, because trying again may never help.
	explained = verdict{nil, transient, indeterminate, indeterminate}

	// staleToken is UNAUTHENTICATED on an open stream for a token of the client's own. The client has dropped the token by
	// then, and the next opening gets a new token, or fails with the reason.
	staleToken = verdict{
		unauthorized, {backend.ErrUnauthorized, backend.ErrTransient},
		{backend.ErrUnauthorized, backend.ErrIndeterminate}, {backend.ErrUnauthorized, backend.ErrIndeterminate},
	}

	// A website answers in the place of the service.
	website = permanent
)

// verdicts are for the codes for which another attempt does not help. The vendor's clients have the same list. Every other
// code is passing.
var verdicts = map[codes.Code]verdict{
	// Any of several batches may be the refused batch. The batches before the refused batch may be stored without an ack.
	codes.InvalidArgument:  {rejected, rejected, rejected, {backend.ErrRejected, backend.ErrIndeterminate}},
	codes.NotFound:         always(backend.ErrNotFound),
	codes.PermissionDenied: always(backend.ErrUnauthorized),
	codes.Unauthenticated:  always(backend.ErrUnauthorized),
	codes.OutOfRange:       always(backend.ErrConflict), // an offset on the wire, never a user's
	codes.Unimplemented:    always(backend.ErrUnsupported),
}

// verdictOn classifies an error of any kind. The order of the cases counts: an error that says more stands before an error that
// it wraps. ownToken says that the stream was opened with a token of the client's own, and not with provided headers.
func verdictOn(err error, ownToken bool) verdict {
	var said *Error
	var proxy *ProxyError
	var noToken *TokenError
	switch {
	case errors.Is(err, errClosing), errors.As(err, new(*ProtocolError)):
		return passing
	case errors.As(err, &said):
		return said.verdict(ownToken)
	case errors.As(err, &proxy):
		return proxy.verdict()
	case errors.As(err, &noToken):
		return tokenVerdicts[noToken.failure]
	case errors.Is(err, backend.ErrRejected):
		return explained
	case misconfig.Due(err):
		return permanent
	case errors.Is(err, errConnection), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return passing
	}
	return explained
}

func (e *Error) verdict(ownToken bool) verdict {
	v, listed := verdicts[e.Code]
	switch {
	// This case stands before the list, because the list would make the refusal of an expired token final.
	case ownToken && e.Code == codes.Unauthenticated:
		return staleToken
	case listed:
		return v
	case e.foreign():
		return website
	}
	return passing
}

func (e *ProxyError) verdict() verdict {
	if e.Status >= 500 {
		return passing
	}
	return always(backend.ErrUnauthorized) // for example 407
}

// wrap adds the errors of the verdict to err.
func (v verdict) wrap(err error, at moment) error {
	switch s := v[at]; len(s) {
	case 0:
		return err
	case 1:
		return fmt.Errorf("%w: %w", s[0], err)
	default:
		return fmt.Errorf("%w: %w: %w", s[0], s[1], err)
	}
}

// A tokenFailure says how a token request failed.
type tokenFailure int

const (
	tokenLost    tokenFailure = iota // the network failed, or the caller's time was over
	tokenExpired                     // the token came too late
	tokenBusy                        // status 429, or 500 and more
	tokenRefused                     // any other answer without a token
	tokenUnasked                     // no request could be made
	tokenMisled                      // the server does not fit the setting
	tokenUnsafe                      // errProxy or errPlaintext
)

var tokenVerdicts = map[tokenFailure]verdict{
	tokenLost:    passing,
	tokenExpired: passing,
	tokenBusy:    passing,
	tokenRefused: always(backend.ErrUnauthorized),
	tokenUnasked: permanent,
	tokenMisled:  permanent,
	tokenUnsafe:  explained,
}
