package zerobus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/misconfig"
)

// sentinels are all errors of package backend that say what to do.
var sentinels = []error{
	backend.ErrTransient, backend.ErrIndeterminate, backend.ErrRejected, backend.ErrTooLarge, backend.ErrFenced, backend.ErrConflict,
	backend.ErrOutOfRange, backend.ErrNotFound, backend.ErrUnauthorized, backend.ErrUnsupported, backend.ErrStreamClosed, backend.ErrClosed,
}

// found returns the sentinels that err wraps.
func found(err error) (all []error) {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			all = append(all, s)
		}
	}
	return all
}

func TestWhatErrorsMean(t *testing.T) {
	const (
		transient     = "transient failure"
		indeterminate = "outcome unknown"
		rejected      = "rejected"
		unauthorized  = "unauthorized"
		unsupported   = "not supported by this backend: unsupported operation"
	)
	said := func(c codes.Code) error { return &Error{Code: c} }
	passing := [moments]string{transient, transient, indeterminate, indeterminate}
	same := func(s string) [moments]string { return [moments]string{s, s, s, s} }
	for name, row := range map[string]struct {
		err      error
		ownToken bool
		want     [moments]string // at an opening, with 0, 1 and 2 batches unanswered
	}{
		"OK, which is the end of a stream": {said(codes.OK), true, passing},
		"CANCELLED":                        {said(codes.Canceled), true, passing},
		"UNKNOWN":                          {said(codes.Unknown), true, passing},
		"INVALID_ARGUMENT":                 {said(codes.InvalidArgument), true, [moments]string{rejected, rejected, rejected, indeterminate + ", " + rejected}},
		"DEADLINE_EXCEEDED":                {said(codes.DeadlineExceeded), true, passing},
		"NOT_FOUND":                        {said(codes.NotFound), true, same("not found")},
		"ALREADY_EXISTS":                   {said(codes.AlreadyExists), true, passing},
		"PERMISSION_DENIED":                {said(codes.PermissionDenied), true, same(unauthorized)},
		"RESOURCE_EXHAUSTED":               {said(codes.ResourceExhausted), true, passing},
		"FAILED_PRECONDITION":              {said(codes.FailedPrecondition), true, passing},
		"ABORTED":                          {said(codes.Aborted), true, passing},
		"OUT_OF_RANGE":                     {said(codes.OutOfRange), true, same("conflict")},
		"UNIMPLEMENTED":                    {said(codes.Unimplemented), true, same(unsupported)},
		"a breach of the protocol":         {protocolErrorf("an ack from the future"), true, passing},
		"UNAVAILABLE":                      {said(codes.Unavailable), true, passing},
		"DATA_LOSS":                        {said(codes.DataLoss), true, passing},
		"UNAUTHENTICATED with our token": {said(codes.Unauthenticated), true,
			[moments]string{unauthorized, transient + ", " + unauthorized, indeterminate + ", " + unauthorized, indeterminate + ", " + unauthorized}},
		"UNAUTHENTICATED with provided headers": {said(codes.Unauthenticated), false, same(unauthorized)},
		"a code that gRPC does not have":        {said(77), true, passing},

		"a website":                        {notGRPC(405), true, [moments]string{rejected, transient, indeterminate, indeterminate}},
		"a gateway that is in trouble":     {notGRPC(503), true, passing},
		"a gateway that asks for patience": {notGRPC(429), true, passing},
		"a lost connection":                {fmt.Errorf("%w: %w", errConnection, io.ErrUnexpectedEOF), true, passing},
		"a rotation":                       {errClosing, true, passing},
		"a context that is cancelled":      {context.Canceled, true, passing},
		"a context that has ended in time": {fmt.Errorf("no answer: %w", context.DeadlineExceeded), true, passing},
		"a proxy that refuses credentials": {&ProxyError{Status: 407}, true, same(unauthorized)},
		"a proxy that is in trouble":       {&ProxyError{Status: 502}, true, passing},
		"a wrong setting":                  {settings.Blame(misconfig.NoTLS, errors.New("no TLS")), true, [moments]string{rejected, transient, indeterminate, indeterminate}},
		"a check, which explains itself": {errProxy, true,
			[moments]string{rejected, transient + ", " + rejected, indeterminate + ", " + rejected, indeterminate + ", " + rejected}},
		"an error of a headers provider": {fmt.Errorf("headers provider: %w", io.ErrUnexpectedEOF), true, [moments]string{"", transient, indeterminate, indeterminate}},
		"a headers provider that may work later": {fmt.Errorf("headers provider: %w", backend.ErrTransient), true,
			[moments]string{transient, transient, transient + ", " + indeterminate, transient + ", " + indeterminate}},
		"an error of the machine in a read": {io.ErrUnexpectedEOF, true, [moments]string{"", transient, indeterminate, indeterminate}},
	} {
		for at := range moments {
			err := verdictOn(row.err, row.ownToken).wrap(row.err, at)
			got := ""
			for _, s := range found(err) {
				if got != "" {
					got += ", "
				}
				got += s.Error()
			}
			if got != row.want[at] || !errors.Is(err, row.err) {
				t.Errorf("%s, moment %d: %q, want %q: %v", name, at, got, row.want[at], err)
			}
		}
	}
}

func TestMomentsByBatches(t *testing.T) {
	for n, want := range []moment{idle, one, many, many, many} {
		if got := momentOf(n); got != want {
			t.Errorf("%d batches: %d, want %d", n, got, want)
		}
	}
}
