package server_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
)

// A faulty is a server with one stream of ten bytes, and a client that keeps no connections.
type faulty struct {
	t      *testing.T
	srv    *durablestreamstest.Server
	client *http.Client
}

func newFaulty(t *testing.T) *faulty {
	f := &faulty{t, durablestreamstest.New(t), &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	f.want(http.StatusCreated, "PUT", "/s", "0123456789")
	return f
}

// call returns the status, or 0 if there was no answer, and the part of the body that arrived.
func (f *faulty) call(ctx context.Context, method, path, body string) (status int, header http.Header, got string) {
	f.t.Helper()
	r, err := http.NewRequestWithContext(ctx, method, f.srv.URL()+"/v1/stream"+path, strings.NewReader(body))
	if err != nil {
		f.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "text/plain")
	resp, err := f.client.Do(r)
	if err != nil {
		return 0, nil, ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		got = "cut: "
	}
	return resp.StatusCode, resp.Header, got + string(b)
}

func (f *faulty) want(status int, method, path, body string) string {
	f.t.Helper()
	got, _, text := f.call(f.t.Context(), method, path, body)
	if got != status {
		f.t.Errorf("%s %s: status %d, want %d", method, path, got, status)
	}
	return text
}

func TestFaultsStrikeAtTheirStage(t *testing.T) {
	const stored, absent = "0123456789x", "0123456789"
	for name, test := range map[string]struct {
		f      durablestreamstest.Fault
		status int    // of an append of "x", 0 for none
		after  string // what the stream holds then
	}{
		"refused":            {durablestreamstest.Fault{Do: durablestreamstest.Status(503)}, 503, absent},
		"lost request":       {durablestreamstest.Fault{Do: durablestreamstest.Drop()}, 0, absent},
		"lost append":        {durablestreamstest.Fault{Stage: durablestreamstest.Received, Do: durablestreamstest.Drop()}, 0, absent},
		"refused whole":      {durablestreamstest.Fault{Stage: durablestreamstest.Received, Do: durablestreamstest.Status(500)}, 500, absent},
		"lost answer":        {durablestreamstest.Fault{Stage: durablestreamstest.Replying, Do: durablestreamstest.Drop()}, 0, stored},
		"stored and refused": {durablestreamstest.Fault{Stage: durablestreamstest.Replying, Do: durablestreamstest.Status(500)}, 500, stored},
		"slow":               {durablestreamstest.Fault{Stage: durablestreamstest.Received, Do: durablestreamstest.Delay(1)}, 204, stored},
		"another class":      {durablestreamstest.Fault{Op: durablestreamstest.AnyRead | durablestreamstest.DeleteCall, Do: durablestreamstest.Drop(), Skip: 99}, 204, stored},
		"another stream":     {durablestreamstest.Fault{On: "other", Do: durablestreamstest.Drop()}, 204, stored},
		"an append":          {durablestreamstest.Fault{Op: durablestreamstest.AppendCall, On: "s", Do: durablestreamstest.RetryAfter(429, 2e9)}, 429, absent},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFaulty(t)
			in := f.srv.Inject(test.f)
			status, header, _ := f.call(t.Context(), "POST", "/s", "x")
			if status != test.status || status == 429 && header.Get("Retry-After") != "2" {
				t.Errorf("status %d, %v, want %d", status, header, test.status)
			}
			hit := test.f.Op&durablestreamstest.AnyRead == 0 && test.f.On != "other"
			if in.Hits() > 0 != hit {
				t.Errorf("it has struck %d times", in.Hits())
			}
			if got := f.want(200, "GET", "/s", ""); got != test.after {
				t.Errorf("stored %q, want %q", got, test.after)
			}
		})
	}
}

func TestCutAnswerIsBrokenBehindItsBytes(t *testing.T) {
	f := newFaulty(t)
	for path, want := range map[string]string{
		"/s":                           "cut: 012",
		"/s?offset=-1&live=sse":        "cut: eve",
		"/s?offset=-1&live=long-poll":  "cut: 012",
		"/s?offset=-1&live=long-poll&": "cut: 012",
	} {
		f.srv.Inject(durablestreamstest.Fault{Op: durablestreamstest.AnyRead, Do: durablestreamstest.CutAfter(3)})
		if got := f.want(200, "GET", path, ""); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// After a fault has refused an event stream, no event follows the refusal.
func TestRefusedEventsEnd(t *testing.T) {
	f := newFaulty(t)
	f.srv.Inject(durablestreamstest.Fault{Op: durablestreamstest.EventRead, Stage: durablestreamstest.Replying, Do: durablestreamstest.Status(502)})
	f.want(502, "GET", "/s?offset=-1&live=sse", "")
}

// A stalled request ends when its client leaves or the server is closed.
func TestStalledRequestEnds(t *testing.T) {
	for name, stage := range map[string]durablestreamstest.Stage{"arrived": durablestreamstest.Arrived, "received": durablestreamstest.Received, "replying": durablestreamstest.Replying} {
		t.Run(name, func(t *testing.T) {
			f := newFaulty(t)
			in := f.srv.Inject(durablestreamstest.Fault{Stage: stage, Do: durablestreamstest.Stall(), Times: durablestreamstest.Always})
			ctx, leave := context.WithCancel(t.Context())
			status := make(chan int, 2)
			go func() { s, _, _ := f.call(ctx, "POST", "/s", "x"); status <- s }()
			until(t, "the first request stalls", func() bool { return in.Hits() == 1 })
			leave()
			if s := <-status; s != 0 {
				t.Errorf("status %d", s)
			}
			go func() { s, _, _ := f.call(t.Context(), "POST", "/s", "x"); status <- s }()
			until(t, "the second request stalls", func() bool { return in.Hits() == 2 })
			if err := f.srv.Close(); err != nil {
				t.Error(err)
			}
			if s := <-status; s != 0 {
				t.Errorf("status %d", s)
			}
		})
	}
}
