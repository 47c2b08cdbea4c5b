package server_test

import (
	"errors"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
)

// A caller makes requests of a handler in this goroutine.
type caller struct {
	t *testing.T
	h *server.Server
}

func (c caller) call(method, path, body string, want int, header ...string) {
	c.t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/plain")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	c.h.ServeHTTP(w, r)
	if w.Code != want || strings.Contains(w.Body.String(), "space") {
		c.t.Errorf("%s %s: %d %.99s, want %d and no word about the disk", method, path, w.Code, w.Body, want)
	}
}

func openBolt(t *testing.T, path string) (*server.Bolt, caller) {
	t.Helper()
	b, err := server.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b, caller{t, durablestreamstest.Handler(b)}
}

var lastWords = []string{"Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", "0", "Stream-Closed", "true", "Stream-Seq", "1"}

// A failed commit changes nothing: neither the data, the place of the producer, the end of the stream nor the references of
// forks.
func TestFailedCommitLeavesNothingBehind(t *testing.T) {
	b, c := openBolt(t, filepath.Join(t.TempDir(), "streams.db"))
	c.call("PUT", "/s", "", 201)
	server.FailCommits(b, 4, false)
	c.call("POST", "/s", "x", 500, lastWords...)
	c.call("PUT", "/fork", "", 500, "Stream-Forked-From", "/s")
	c.call("PUT", "/other", "", 500)
	c.call("DELETE", "/s", "", 500)
	c.call("GET", "/other", "", 404)
	c.call("POST", "/s", "x", 200, lastWords...)
	c.call("POST", "/s", "x", 204, lastWords...)
	c.call("DELETE", "/s", "", 204)
	c.call("GET", "/s", "", 404) // not 410: there was no fork
}

// After a commit with an unknown outcome there are no more commits. Readers see what was durable before. After the file is
// opened again, a producer sends its batch again and so finds out whether the batch is stored.
func TestCommitOfUnknownOutcomeIsTheLast(t *testing.T) {
	path := filepath.Join(t.TempDir(), "streams.db")
	b, c := openBolt(t, path)
	c.call("PUT", "/s", "", 201)
	server.FailCommits(b, 1, true)
	c.call("POST", "/s", "x", 500, lastWords...)
	c.call("POST", "/s", "x", 500, lastWords...)
	c.call("PUT", "/other", "", 500)
	if info, err := b.Head(t.Context(), "/s"); err != nil || info.Tail != 0 || info.Closed {
		t.Errorf("%+v, %v", info, err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	_, c = openBolt(t, path)
	c.call("POST", "/s", "x", 204, lastWords...) // a duplicate
}

// On a full disk, a request that does not fit is refused. When there is room again, the same request succeeds.
func TestFullDiskStoresNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "streams.db")
	b, c := openBolt(t, path)
	c.call("PUT", "/s", "", 201)
	c.h = durablestreamstest.Handler(b, durablestreamstest.AppendBytes(32<<20))
	free := boltfiletest.FullDisk(t, path)
	large := strings.Repeat("x", 20<<20)
	c.call("POST", "/s", large, 500, lastWords...)
	if info, err := b.Head(t.Context(), "/s"); err != nil || info.Tail != 0 || info.Closed {
		t.Errorf("%+v, %v", info, err)
	}
	free()
	c.call("POST", "/s", large, 200, lastWords...)
}

// A change that comes after Close is refused, and Close may be called again.
func TestClosedBoltRefusesChanges(t *testing.T) {
	b, c := openBolt(t, filepath.Join(t.TempDir(), "streams.db"))
	c.call("PUT", "/s", "", 201)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	c.call("POST", "/s", "x", 503)
	if err := b.Delete(t.Context(), "/s"); !errors.Is(err, server.ErrStopped) {
		t.Errorf("delete: %v", err)
	}
}
