package durablestreams_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/internal/waiting"
	"go.uber.org/goleak"
)

// The test binary is also the server that the kill test and the benchmarks run as another process: HEADRACE_SERVE names its
// file, or "memory".
func TestMain(m *testing.M) {
	if file := os.Getenv("HEADRACE_SERVE"); file != "" {
		if err := child(file); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	waiting.AtOnce(8)
	goleak.VerifyTestMain(m)
}

// serve starts a server in this process and returns a client of it.
func serve(t testing.TB, opts ...durablestreamstest.Option) (*durablestreams.Client, *httptest.Server) {
	t.Helper()
	return serveVia(t, func(h http.Handler) http.Handler { return h }, nil, opts...)
}

// serveVia puts something between the client and the server.
func serveVia(t testing.TB, via func(http.Handler) http.Handler, options []durablestreams.Option, opts ...durablestreamstest.Option) (*durablestreams.Client, *httptest.Server) {
	t.Helper()
	return serveFrom(t, server.NewMemory(), via, options, opts...)
}

// A store is a storage that can be closed.
type store interface {
	server.Storage
	Close() error
}

// serveFrom is serveVia with a storage, which it closes at the end.
func serveFrom(t testing.TB, store store, via func(http.Handler) http.Handler, options []durablestreams.Option, opts ...durablestreamstest.Option) (*durablestreams.Client, *httptest.Server) {
	t.Helper()
	opts = append([]durablestreamstest.Option{durablestreamstest.Prefix("/v1/stream/"), durablestreamstest.LongPoll(500 * time.Millisecond)}, opts...)
	h := httptest.NewServer(via(durablestreamstest.Handler(store, opts...)))
	c, err := durablestreams.New(h.URL+"/v1/stream", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		h.CloseClientConnections()
		h.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, h
}

// A place opens a storage, where it can, on what the one before it has left there.
type place struct {
	keeps  bool // beyond the end of the storage
	beside bool // other tests run at the same time
	client []durablestreams.Option
	open   func(t testing.TB, file string) store
}

// eachStore runs a suite on both storages of the server. In memory the suite runs alone, because it counts goroutines. On disk it
// mostly waits, so it runs beside other tests.
func eachStore(t *testing.T, suite func(t *testing.T, at place)) {
	t.Run("memory", func(t *testing.T) {
		suite(t, place{open: func(testing.TB, string) store { return server.NewMemory() }})
	})
	t.Parallel()
	t.Run("bolt", func(t *testing.T) {
		suite(t, place{keeps: true, beside: true, open: func(t testing.TB, file string) store {
			b, err := server.OpenBolt(file)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}})
	})
}

func (at place) target(t testing.TB, contentType string, opts ...durablestreams.StreamOption) backendtest.Target {
	return at.serve(t, filepath.Join(t.TempDir(), "streams.db"), contentType, opts...)
}

func (at place) serve(t testing.TB, file, contentType string, opts ...durablestreams.StreamOption) backendtest.Target {
	// Chunks are small, so that places lie in many responses and framed records are cut by them.
	store := at.open(t, file)
	c, h := serveFrom(t, store, func(h http.Handler) http.Handler { return h }, at.client, durablestreamstest.ChunkBytes(300))
	s := c.Stream("conformance/stream", opts...)
	if _, err := s.Create(t.Context(), contentType); err != nil {
		t.Fatal(err)
	}
	missing := c.Stream("missing")
	target := backendtest.Target{
		Sink: s, Source: s,
		Break:       h.CloseClientConnections,
		Finish:      func() error { return s.Seal(context.Background()) },
		MissingSink: missing, MissingSource: missing,
	}
	if at.keeps {
		target.Restart = func(t testing.TB) backendtest.Target {
			h.CloseClientConnections()
			h.Close()
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
			return at.serve(t, file, contentType, opts...)
		}
	}
	return target
}

// Readers wait over SSE on a JSON stream unless told otherwise, and by long-poll on others.
func TestConformanceJSON(t *testing.T)         { conformanceJSON(t) }
func TestConformanceJSONLongPoll(t *testing.T) { conformanceJSON(t, durablestreams.LongPoll()) }

// The appends go through a caller's http.Client, and not over links.
func TestConformanceJSONCallersClient(t *testing.T) {
	h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(h.CloseIdleConnections)
	conformanceJSONAt(t, place{client: []durablestreams.Option{durablestreams.HTTP(h)}, open: func(testing.TB, string) store { return server.NewMemory() }})
}

func conformanceJSON(t *testing.T, opts ...durablestreams.StreamOption) {
	eachStore(t, func(t *testing.T, at place) { conformanceJSONAt(t, at, opts...) })
}

func conformanceJSONAt(t *testing.T, at place, opts ...durablestreams.StreamOption) {
	backendtest.Run(t, backendtest.Harness{
		Beside: at.beside,
		Open: func(t testing.TB) backendtest.Target {
			return at.target(t, "application/json", opts...)
		},
		Format:      backend.Format{ContentType: "application/json"},
		OtherFormat: backend.Format{ContentType: "application/octet-stream"},
		Value: func(i, n int) []byte {
			v := fmt.Appendf(nil, `{"i":%d,"s":"`, i)
			return append(append(v, bytes.Repeat([]byte{'x'}, max(n-len(v)-2, 0))...), `"}`...)
		},
		Dedup:   true,
		Refuses: []string{"empty", "binary", "object", "lines"},
		Late:    true,
	})
}

func TestConformanceFramed(t *testing.T)    { conformanceFramed(t) }
func TestConformanceFramedSSE(t *testing.T) { conformanceFramed(t, durablestreams.SSE()) }

func conformanceFramed(t *testing.T, opts ...durablestreams.StreamOption) {
	eachStore(t, func(t *testing.T, at place) {
		backendtest.Run(t, backendtest.Harness{
			Beside: at.beside,
			Open: func(t testing.TB) backendtest.Target {
				return at.target(t, "application/octet-stream", opts...)
			},
			OtherFormat: backend.Format{ContentType: "application/json"},
			Headers:     true,
			Times:       time.Nanosecond,
			Dedup:       true,
			Late:        true,
		})
	})
}

// With an id of its own a stream has one writer at a time: the one that came last.
func TestConformanceExclusive(t *testing.T) {
	eachStore(t, func(t *testing.T, at place) {
		backendtest.Run(t, backendtest.Harness{
			Beside: at.beside,
			Open: func(t testing.TB) backendtest.Target {
				return at.target(t, "application/octet-stream", durablestreams.ProducerID("the writer"))
			},
			Headers:   true,
			Times:     time.Nanosecond,
			Dedup:     true,
			Late:      true,
			Exclusive: true,
		})
	})
}
