package s2_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// Management calls are tried again where that can help and harm nothing.
func TestManagementCallsAreTriedAgain(t *testing.T) {
	ctx := t.Context()
	srv := s2test.New(t, s2test.Basin(basinName, false))
	c := dial(t, srv)
	b := manage(c)
	fault := func(times int, do s2test.Effect) *s2test.Injection {
		return srv.Inject(s2test.Fault{Op: s2test.StreamCall | s2test.AccountCall, Times: times, Do: do})
	}
	in := fault(2, s2test.RetryAfter(429, "rate_limited", time.Millisecond))
	_, err := b.CreateStream(ctx, "s", s2.StreamConfig{})
	if check(t, err); in.Hits() != 2 {
		t.Errorf("%d refusals were outlived, want 2", in.Hits())
	}
	in.Remove()

	in = fault(s2test.Always, s2test.RetryAfter(503, "unavailable", time.Millisecond))
	_, err = b.StreamConfig(ctx, "s")
	var refused *s2.Error
	if !errors.As(err, &refused) || refused.Status != 503 || refused.Code != "unavailable" || refused.RetryAfter() != time.Millisecond || in.Hits() != 3 {
		t.Errorf("%v after %d attempts, want the 503 after 3", err, in.Hits())
	}
	want(t, err, backend.ErrTransient)
	in.Remove()

	in = fault(s2test.Always, s2test.Status(403, "permission_denied"))
	_, err = b.StreamConfig(ctx, "s")
	if want(t, err, backend.ErrUnauthorized); in.Hits() != 1 {
		t.Errorf("%d attempts at what is not permitted", in.Hits())
	}
	in.Remove()

	in = fault(s2test.Always, s2test.RetryAfter(503, "unavailable", time.Hour))
	hurried, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	_, err = b.StreamConfig(hurried, "s")
	want(t, err, context.DeadlineExceeded)
	in.Remove()

	// Issuing a token twice would leave one that nobody knows: only what certainly did nothing is tried again.
	in = fault(1, s2test.Drop())
	_, err = c.Basin(basinName).Stream("s").Append(ctx, values("x"), s2.Condition{})
	check(t, err) // it concerns others
	_, err = admin.New(c).IssueAccessToken(ctx, admin.AccessToken{ID: "t"})
	if want(t, err, backend.ErrIndeterminate); in.Hits() != 1 {
		t.Errorf("%d attempts", in.Hits())
	}
}

// What a server sends is bounded and believed as far as it goes.
func TestAnswersThatAreNone(t *testing.T) {
	zeros := func() []byte {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, _ = w.Write(make([]byte, 9<<20))
		_ = w.Close()
		return b.Bytes()
	}()
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter)
		says   string
	}{
		"no JSON":          {func(w http.ResponseWriter) { _, _ = w.Write([]byte("<html>")) }, "invalid character"},
		"endless":          {func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 9<<20)) }, "more than"},
		"a bomb":           {encoded("gzip", zeros), "more than"},
		"no gzip":          {encoded("gzip", []byte("no gzip")), "decompressing"},
		"no zstd":          {encoded("zstd", []byte("no zstd")), "decompressing"},
		"unknown encoding": {encoded("br", []byte("x")), `content-encoding "br"`},
	} {
		web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { c.answer(w) }))
		cl, err := s2.New(s2.Config{Token: "any", AccountEndpoint: web.URL, BasinEndpoint: web.URL}, patient()...)
		check(t, err)
		_, err = admin.New(cl).BasinConfig(t.Context(), basinName)
		var pe *s2.ProtocolError
		if !errors.As(err, &pe) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v, want a ProtocolError that says %q", name, err, c.says)
		}
		_ = cl.Close()
		web.Close()
	}
}

func encoded(how string, body []byte) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Encoding", how)
		_, _ = w.Write(body)
	}
}

// Endpoints as users of S2 write them, from options and from the environment.
func TestEndpoints(t *testing.T) {
	var host, path, basin, auth atomic.Value
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host.Store(r.Host)
		path.Store(r.URL.EscapedPath())
		basin.Store(r.Header.Get("S2-Basin"))
		auth.Store(r.Header.Get("Authorization"))
		_, _ = w.Write([]byte(`{"tail":{"seq_num":1,"timestamp":2}}`))
	}))
	defer web.Close()
	addr := strings.TrimPrefix(web.URL, "http://")
	t.Setenv("S2_ACCESS_TOKEN", "from-the-environment")
	for _, c := range []struct{ endpoint, host, path, basin string }{
		{addr, addr, "/v1/streams/a%2Fb/records/tail", basinName}, // http, as it is on this machine
		{"http://" + addr + "/", addr, "/streams/a%2Fb/records/tail", basinName},
		{"http://" + addr + "/some/where/", addr, "/some/where/streams/a%2Fb/records/tail", basinName},
		{"http://" + addr + "/{basin}/v1", addr, "/" + basinName + "/v1/streams/a%2Fb/records/tail", ""},
	} {
		t.Setenv("S2_ACCOUNT_ENDPOINT", addr)
		t.Setenv("S2_BASIN_ENDPOINT", c.endpoint)
		cfg, err := s2.Environment()
		check(t, err)
		cl, err := s2.New(cfg, patient()...)
		check(t, err)
		tail, err := cl.Basin(basinName).Stream("a/b").CheckTail(t.Context())
		if err != nil || tail.SeqNum != 1 || host.Load() != c.host || path.Load() != c.path || basin.Load() != c.basin || auth.Load() != "Bearer from-the-environment" {
			t.Errorf("%s: %v %v %v %v %+v, %v", c.endpoint, host.Load(), path.Load(), basin.Load(), auth.Load(), tail, err)
		}
		if s := cl.String(); strings.Contains(s, "from-the") || !strings.Contains(s, addr) {
			t.Errorf("prints as %q", s)
		}
		_ = cl.Close()
	}
	for _, bad := range []string{" ", "ftp://x", "http://", "http://user:pass@host", "http://host?x=y", "http://host/#f", "a b"} {
		if _, err := s2.New(s2.Config{Token: "t", BasinEndpoint: bad}); err == nil || strings.Contains(err.Error(), "pass") {
			t.Errorf("endpoint %q: %v", bad, err)
		}
	}
	if _, err := s2.New(s2.Config{Token: "t", AccountEndpoint: "https://{basin}.x"}); err == nil {
		t.Error("an account endpoint that names a basin is taken")
	}
	for _, bad := range []string{"", "two words", "line\nbreak"} {
		if _, err := s2.New(s2.Config{Token: bad}); err == nil || bad != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("token %q: %v", bad, err)
		}
	}
	both := s2.Config{Token: "secret-token", Auth: func(context.Context) (string, error) { return "other", nil }}
	if _, err := s2.New(both); err == nil || strings.Contains(err.Error(), "secret-token") {
		t.Errorf("a Token and an Auth: %v", err)
	}
}
