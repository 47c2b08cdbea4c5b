package durablestreams_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// serve starts a server in this process and returns a client of it.
func serve(t testing.TB, opts ...server.Option) (*durablestreams.Client, *httptest.Server) {
	t.Helper()
	return serveVia(t, func(h http.Handler) http.Handler { return h }, nil, opts...)
}

// serveVia puts something between the client and the server.
func serveVia(t testing.TB, via func(http.Handler) http.Handler, options []durablestreams.Option, opts ...server.Option) (*durablestreams.Client, *httptest.Server) {
	t.Helper()
	store := server.NewMemory()
	opts = append([]server.Option{server.Prefix("/v1/stream/"), server.LongPoll(500 * time.Millisecond)}, opts...)
	h := httptest.NewServer(via(server.New(store, opts...)))
	c, err := durablestreams.NewClient(h.URL+"/v1/stream", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.CloseIdleConnections()
		h.CloseClientConnections()
		h.Close()
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return c, h
}

func target(t testing.TB, contentType string, opts ...durablestreams.StreamOption) backendtest.Target {
	// Chunks are small, so that places lie in many responses and framed records are cut by them.
	c, h := serve(t, server.ChunkBytes(300))
	s := c.Stream("conformance/stream", opts...)
	if _, err := s.Create(t.Context(), contentType); err != nil {
		t.Fatal(err)
	}
	missing := c.Stream("missing")
	return backendtest.Target{
		Sink: s, Source: s,
		Break:       h.CloseClientConnections,
		Finish:      func() error { _, err := s.Close(context.Background()); return err },
		MissingSink: missing, MissingSource: missing,
	}
}

// Readers wait over SSE on a JSON stream unless told otherwise, and by long-poll on others.
func TestConformanceJSON(t *testing.T)         { conformanceJSON(t) }
func TestConformanceJSONLongPoll(t *testing.T) { conformanceJSON(t, durablestreams.LongPoll()) }

func conformanceJSON(t *testing.T, opts ...durablestreams.StreamOption) {
	backendtest.Run(t, backendtest.Harness{
		Open:        func(t testing.TB) backendtest.Target { return target(t, "application/json", opts...) },
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
	backendtest.Run(t, backendtest.Harness{
		Open:        func(t testing.TB) backendtest.Target { return target(t, "application/octet-stream", opts...) },
		OtherFormat: backend.Format{ContentType: "application/json"},
		Headers:     true,
		Times:       time.Nanosecond,
		Dedup:       true,
		Late:        true,
	})
}

// With an id of its own a stream has one writer at a time: the one that came last.
func TestConformanceExclusive(t *testing.T) {
	backendtest.Run(t, backendtest.Harness{
		Open: func(t testing.TB) backendtest.Target {
			return target(t, "application/octet-stream", durablestreams.ProducerID("the writer"))
		},
		Headers:   true,
		Times:     time.Nanosecond,
		Dedup:     true,
		Late:      true,
		Exclusive: true,
	})
}
