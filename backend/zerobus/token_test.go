package zerobus_test

import (
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// expires_in decides how often the client asks for a token. If expires_in is not a whole number above 0, with or without quotes,
// the token is used once.
func TestExpiresIn(t *testing.T) {
	for life, want := range map[string]int64{
		`3600`: 1, `"3600"`: 1, `"+3600"`: 1, `"03600"`: 1, `99999999999`: 1, `9223372036854775807`: 1, `99999999999999999999999`: 1, `"99999999999999999999999"`: 1,
		`0`: 2, `-5`: 2, `-`: 2, `"0"`: 2, `3599.5`: 2, `"3599.5"`: 2, `0.9`: 2, `1e3`: 2, `null`: 2, `true`: 2, `"soon"`: 2, `""`: 2, `{}`: 2, `[3600]`: 2,
		`-99999999999999999999999`: 2,
	} {
		t.Run(life, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				srv.InjectToken(zerobustest.TokenFault{Times: -1, ExpiresIn: life})
				sink := sinkOf(srv)
				_ = open(t, sink).Close()
				_ = open(t, sink).Close()
				if n := srv.Stats().TokenRequests; n != want {
					t.Errorf("%d token requests for 2 streams, want %d", n, want)
				}
			})
		})
	}
}

// If a token cannot be replaced, the client uses the valid old token, and does not ask the endpoint again for a while.
func TestTokensAreRefreshedEarlyAndTheOldServesMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		sink := sinkOf(srv)
		_ = open(t, sink).Close()
		pass(56 * time.Minute) // within the refresh buffer
		srv.InjectToken(zerobustest.TokenFault{Status: 503, Times: -1})
		for range 3 {
			_ = open(t, sink).Close()
		}
		if s := srv.Stats(); s.TokenRequests != 2 || s.Tokens != 1 {
			t.Errorf("%+v: want one refresh that failed and the old token", s)
		}
		pass(5 * time.Second)
		_ = open(t, sink).Close()
		if s := srv.Stats(); s.TokenRequests != 3 {
			t.Errorf("%+v: want another refresh after 5 s", s)
		}
		pass(4 * time.Minute) // now it has expired
		_, err := sink.NewAppender(jsonFormat).Open(t.Context())
		wantIs(t, err, backend.ErrTransient)
	})
}

// While the old token is valid, a silent token endpoint costs at most half of the opening's time.
func TestAStuckRefreshLeavesTimeForTheOldToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		sink := sinkOf(srv, zerobus.Timeout(10*time.Second))
		_ = open(t, sink).Close()
		pass(56 * time.Minute)
		srv.InjectToken(zerobustest.TokenFault{Delay: time.Hour, Times: -1})
		began := time.Now()
		_ = open(t, sink).Close()
		took(t, began, 5*time.Second)
	})
}

// If the service refuses a token before the end of its life, the opening replaces the token.
func TestExpiredTokensAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.TokenLife(time.Minute))
		srv.InjectToken(zerobustest.TokenFault{Times: -1, ExpiresIn: "3600"})
		sink := sinkOf(srv)
		_ = open(t, sink).Close()
		pass(2 * time.Minute)
		_ = open(t, sink).Close()
		if s := srv.Stats(); s.TokenRequests != 2 || s.Streams != 3 {
			t.Errorf("%+v", s)
		}
	})
}

// UNAUTHENTICATED and PERMISSION_DENIED drop the refused token, and not its replacement.
func TestInvalidationByGeneration(t *testing.T) {
	for _, code := range []codes.Code{codes.Unauthenticated, codes.PermissionDenied} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				sink := sinkOf(srv)
				one, two := open(t, sink), open(t, sink)
				srv.End(table, zerobustest.Status(code, "revoked"))
				_, err := reason(t, one)
				want := []error{backend.ErrUnauthorized}
				if code == codes.Unauthenticated {
					want = append(want, backend.ErrTransient)
				}
				wantIs(t, err, want...)
				_ = open(t, sink)
				if n := srv.Stats().TokenRequests; n != 2 {
					t.Errorf("%d token requests, want a new one", n)
				}
				_, err = reason(t, two) // speaks of the old one
				wantIs(t, err, want...)
				_ = open(t, sink)
				if n := srv.Stats().TokenRequests; n != 2 {
					t.Errorf("%d token requests: the new token was dropped", n)
				}
			})
		})
	}
}

// Retry-After of a 429 may be a date.
func TestRetryAfterMayBeADate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		at := time.Now().UTC().Add(90 * time.Second).Format("Mon, 02 Jan 2006 15:04:05 GMT")
		srv.InjectToken(zerobustest.TokenFault{Status: 429, RetryAfter: at})
		began := time.Now()
		p := produce(t, sinkOf(srv))
		took(t, began, 90*time.Second)
		_ = p.Close()
	})
}
