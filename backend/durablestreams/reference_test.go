package durablestreams_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// reference starts the official server with its data in dir, or in memory, and returns its URL.
func reference(t *testing.T, dir string) string {
	t.Helper()
	where := os.Getenv("HEADRACE_DURABLE_STREAMS_REFERENCE")
	if where == "" {
		t.Skip("HEADRACE_DURABLE_STREAMS_REFERENCE does not name the folder where .ci/durablestreams-reference installs the official server")
	}
	args := []string{"reference.mjs"}
	if dir != "" {
		args = append(args, dir)
	}
	cmd := exec.Command("node", args...)
	cmd.Dir, cmd.Stderr = where, os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		stdin.Close()
		stop := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() }) // it waits for its live readers
		defer stop.Stop()
		if err := cmd.Wait(); err != nil {
			t.Logf("the reference server: %v", err)
		}
	})
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if at, ok := strings.CutPrefix(lines.Text(), "ready "); ok {
			return at
		}
	}
	t.Fatalf("the reference server has ended: %v", lines.Err())
	return ""
}

// eachReference runs a test against the server with either storage.
func eachReference(t *testing.T, test func(t *testing.T, base string)) {
	t.Run("memory", func(t *testing.T) { test(t, reference(t, "")) })
	t.Run("durable", func(t *testing.T) { test(t, reference(t, t.TempDir())) })
}

var referenceStreams atomic.Int64 // made so far: each test has names of its own

// referenceTarget reaches the server by a proxy, so that connections can be broken.
func referenceTarget(t testing.TB, base, contentType string, opts ...durablestreams.StreamOption) backendtest.Target {
	t.Helper()
	u, err := url.Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	h := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(u) },
		Transport:     transport,
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	})
	c, err := durablestreams.New(h.URL + "/v1/stream")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		h.CloseClientConnections()
		h.Close()
		transport.CloseIdleConnections()
	})
	s := c.Stream(fmt.Sprintf("conformance/%d", referenceStreams.Add(1)), opts...)
	if _, err := s.Create(t.Context(), contentType); err != nil {
		t.Fatal(err)
	}
	missing := c.Stream("missing")
	return backendtest.Target{
		Sink: s, Source: s,
		Break:       h.CloseClientConnections,
		Finish:      func() error { return s.Seal(context.Background()) },
		MissingSink: missing, MissingSource: missing,
	}
}

func TestReferenceConformance(t *testing.T) {
	modes := map[string][]durablestreams.StreamOption{"long-poll": {durablestreams.LongPoll()}, "SSE": {durablestreams.SSE()}}
	eachReference(t, func(t *testing.T, base string) {
		for mode, opts := range modes {
			t.Run("JSON over "+mode, func(t *testing.T) { backendtest.Run(t, jsonHarness(base, opts)) })
			t.Run("framed over "+mode, func(t *testing.T) {
				backendtest.Run(t, backendtest.Harness{
					Open: func(t testing.TB) backendtest.Target {
						return referenceTarget(t, base, "application/octet-stream", opts...)
					},
					OtherFormat: backend.Format{ContentType: "application/json"},
					Headers:     true, Times: time.Nanosecond, Dedup: true, Late: true,
				})
			})
		}
	})
}

func jsonHarness(base string, opts []durablestreams.StreamOption) backendtest.Harness {
	return backendtest.Harness{
		Open: func(t testing.TB) backendtest.Target {
			return referenceTarget(t, base, "application/json", opts...)
		},
		Format:      backend.Format{ContentType: "application/json"},
		OtherFormat: backend.Format{ContentType: "application/octet-stream"},
		Value: func(i, n int) []byte {
			v := fmt.Appendf(nil, `{"i":%d,"s":"`, i)
			return append(append(v, bytes.Repeat([]byte{'x'}, max(n-len(v)-2, 0))...), `"}`...)
		},
		Dedup: true, Late: true,
		Refuses: []string{"empty", "binary", "object", "lines"},
	}
}

// Streams of bytes and text, as others write them, and their closing with the last data.
func TestReferenceRaw(t *testing.T) {
	eachReference(t, func(t *testing.T, base string) {
		eachMode(t, func(t *testing.T, contentType string, opt durablestreams.StreamOption) {
			followRaw(t, referenceTarget(t, base, contentType, opt).Sink.(*durablestreams.Stream), contentType)
		})
	})
}

// inject has the reference server fail the next requests of a stream.
func inject(t *testing.T, base string, fault map[string]any) {
	t.Helper()
	body, err := json.Marshal(fault)
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	resp, err := http.Post(base+"/_test/inject-error", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("the server does not take the fault: %s, %v", resp.Status, err)
	}
}

// troubles counts requests that failed, so that a fault that never happened is no proof.
type troubles struct {
	http.RoundTripper
	seen atomic.Int64
}

func (c *troubles) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode >= 400 && resp.StatusCode != http.StatusConflict {
		c.seen.Add(1)
	}
	return resp, err
}

// What the reference server can do wrong must end in all records, once and in order, through producer and consumer. Faults of
// POST are there while the producer writes, the others while the consumer reads.
func TestReferenceFaults(t *testing.T) {
	faults := map[string]map[string]any{
		"two 500s on append":     {"status": 500, "count": 2, "method": "POST"},
		"a 503 on append":        {"status": 503, "count": 1, "method": "POST"},
		"a 429 with Retry-After": {"status": 429, "count": 1, "method": "POST", "retryAfter": 1},
		"two dropped appends":    {"dropConnection": true, "count": 2, "method": "POST"},
		"two 500s on read":       {"status": 500, "count": 2, "method": "GET"},
		"a 503 on read":          {"status": 503, "count": 1, "method": "GET"},
		"two dropped reads":      {"dropConnection": true, "count": 2, "method": "GET"},
		"a truncated read":       {"truncateBodyBytes": 100, "count": 1, "method": "GET"},
		"a corrupt read":         {"corruptBody": true, "count": 1, "method": "GET"},
	}
	// What comes on an SSE connection before the events of the stream, and whether the reader is lost by it.
	events := map[string]struct {
		kind, data string
		lost       bool
	}{
		"an event of an unknown type": {"unknown", "data: control", false},
		"a control event not JSON":    {"control", "{not json", true},
		"a control event of nothing":  {"control", "", true},
		"a control event of no place": {"control", "{\"upToDate\":true}", true},
		"a data event not JSON":       {"data", "{", true},
	}
	eachReference(t, func(t *testing.T, base string) {
		for name, fault := range faults {
			t.Run(name, func(t *testing.T) { surviveFault(t, base, fault) })
		}
		for name, e := range events {
			t.Run(name, func(t *testing.T) { surviveEvent(t, base, e.kind, e.data, e.lost) })
		}
	})
}

func surviveFault(t *testing.T, base string, fault map[string]any) {
	const records = 3000
	// A connection for each request: the transport asks again by itself where one that it kept breaks.
	wire := &troubles{RoundTripper: &http.Transport{DisableKeepAlives: true}}
	c, err := durablestreams.New(base+"/v1/stream", durablestreams.HTTP(&http.Client{Transport: wire}))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Stream(fmt.Sprintf("faults/%d", referenceStreams.Add(1)))
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	fault["path"] = "/v1/stream/" + s.Name()
	p, err := producer.New(t.Context(), s, codec.JSON[int](), producer.BatchRecords(100))
	if err != nil {
		t.Fatal(err)
	}
	if fault["method"] == "POST" {
		inject(t, base, fault)
	}
	var want, got []int
	for i := range records {
		want = append(want, i)
		if _, err := p.Enqueue(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if fault["method"] == "GET" {
		inject(t, base, fault)
	}
	r, err := consumer.New(s, codec.JSON[int](), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range r.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, m.Value)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d records read, want %d, in order and once", len(got), len(want))
	}
	happened := wire.seen.Load() > 0
	if fault["truncateBodyBytes"] != nil || fault["corruptBody"] != nil {
		happened = r.Stats().Reopened > 0
	}
	if !happened {
		t.Error("the fault did not happen")
	}
}

// tapped keeps what comes over SSE.
type tapped struct {
	http.RoundTripper
	mu   sync.Mutex
	seen bytes.Buffer
}

type tap struct {
	io.ReadCloser
	to *tapped
}

func (c *tapped) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := c.RoundTripper.RoundTrip(r)
	if err == nil && resp.Header.Get("Content-Type") == "text/event-stream" {
		resp.Body = tap{resp.Body, c}
	}
	return resp, err
}

func (b tap) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.to.mu.Lock()
	defer b.to.mu.Unlock()
	b.to.seen.Write(p[:n])
	return n, err
}

// surviveEvent has a consumer wait over SSE, on a connection that begins with an event that does not belong there.
func surviveEvent(t *testing.T, base, kind, data string, lost bool) {
	t.Helper()
	wire := &tapped{RoundTripper: &http.Transport{DisableKeepAlives: true}}
	c, err := durablestreams.New(base+"/v1/stream", durablestreams.HTTP(&http.Client{Transport: wire}))
	if err != nil {
		t.Fatal(err)
	}
	s := c.Stream(fmt.Sprintf("faults/%d", referenceStreams.Add(1)))
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	put(t, s, "application/json", "[0,1,2]")
	inject(t, base, map[string]any{ // the first read catches up, the second is the SSE connection
		"path": "/v1/stream/" + s.Name(), "method": "GET", "count": 2,
		"injectSseEvent": map[string]string{"eventType": kind, "data": data},
	})
	r, err := consumer.New(s, codec.JSON[int]())
	if err != nil {
		t.Fatal(err)
	}
	next := 0
	for m, err := range r.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		if m.Value != next {
			t.Fatalf("record %d, want %d", m.Value, next)
		}
		switch next++; next {
		case 3, 4, 5: // one after the other, behind the fault
			put(t, s, "application/json", fmt.Sprint(next))
		case 6:
			if _, err := s.SealWith(t.Context(), "application/json", []byte("6")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if next != 7 {
		t.Errorf("%d records, want 7", next)
	}
	wire.mu.Lock()
	defer wire.mu.Unlock()
	if want := "event: " + kind + "\ndata: " + data; !strings.HasPrefix(wire.seen.String(), want) {
		t.Errorf("the fault did not happen: %.80q", wire.seen.String())
	}
	if n := r.Stats().Reopened; lost != (n > 0) {
		t.Errorf("readers were opened again %d times", n)
	}
}
