package server_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// A batch that waits for its turn stops waiting with its client, with the handler and with the storage.
func TestHeldBatchEnds(t *testing.T) {
	for name, end := range map[string]func(leave func(), h *server.Server, m *server.Memory){
		"client":  func(leave func(), _ *server.Server, _ *server.Memory) { leave() },
		"handler": func(_ func(), h *server.Server, _ *server.Memory) { _ = h.Close() },
		"storage": func(_ func(), _ *server.Server, m *server.Memory) { _ = m.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := server.NewMemory()
				defer m.Close()
				h := durablestreamstest.Handler(m)
				serve(t, h, "PUT", "/s", "", 201, "Content-Type", "text/plain")
				ctx, leave := context.WithCancel(t.Context())
				defer leave()
				begin := time.Now()
				var early sync.WaitGroup
				for seq := range 20 { // 16 of them are near enough to be held
					r := httptest.NewRequestWithContext(ctx, "POST", "/s", strings.NewReader("x"))
					for name, value := range map[string]string{"Content-Type": "text/plain", "Producer-Id": "p",
						"Producer-Epoch": "0", "Producer-Seq": strconv.Itoa(seq + 1)} {
						r.Header.Set(name, value)
					}
					early.Go(func() {
						w := httptest.NewRecorder()
						if h.ServeHTTP(w, r); w.Code != http.StatusConflict || w.Header().Get("Producer-Expected-Seq") != "0" {
							t.Errorf("%d %v", w.Code, w.Header())
						}
					})
				}
				synctest.Wait()
				if n := server.Waiting(h); n != 16 {
					t.Errorf("%d batches are held", n)
				}
				end(leave, h, m)
				early.Wait()
				if took := time.Since(begin); took != 0 {
					t.Errorf("held for %v more", took)
				}
			})
		})
	}
}

// If somebody else has limited the time of a request, the request fails. An empty success would wrongly say that there is no
// data.
func TestLongPollUnderADeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := server.NewMemory()
		defer m.Close()
		h := durablestreamstest.Handler(m)
		serve(t, h, "PUT", "/s", "", 201, "Content-Type", "text/plain")
		limited := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), time.Second)
			defer cancel()
			h.ServeHTTP(w, r.WithContext(ctx))
		})
		serve(t, limited, "GET", "/s?offset=now&live=long-poll", "", 503)
	})
}

func TestOrigin(t *testing.T) {
	for _, test := range []struct{ given, origin, vary string }{{"", "*", ""}, {"https://example.com", "https://example.com", "Origin"}, {server.NoOrigin, "", ""}} {
		m := server.NewMemory()
		got := serve(t, durablestreamstest.Handler(m, durablestreamstest.Origin(test.given)), "OPTIONS", "/s", "", 204).Header()
		if got.Get("Access-Control-Allow-Origin") != test.origin || got.Get("Vary") != test.vary || (got.Get("Access-Control-Allow-Headers") != "") != (test.origin != "") {
			t.Errorf("origin %q: %v", test.given, got)
		}
		_ = m.Close()
	}
}
