package server_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/internal/boltfile"
	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
)

// status makes one request of the handler in this goroutine and returns its status.
func status(h http.Handler, method, target, body string) int {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Header.Set("Content-Type", "text/plain")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// keptFile is a file with one stream of 1 MB.
func keptFile(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "streams.db")
	b, err := server.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	h := durablestreamstest.Handler(b)
	if code := status(h, "PUT", "/s", ""); code != http.StatusCreated {
		t.Fatal(code)
	}
	for range 10 {
		if code := status(h, "POST", "/s", strings.Repeat("x", 100_000)); code >= 300 {
			t.Fatal(code)
		}
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCutFileIsRefusedAtOpen(t *testing.T) {
	boltfiletest.Cuts(t, keptFile(t), func(path string) error {
		b, err := server.OpenBolt(path)
		if err == nil {
			b.Close()
		}
		return err
	})
}

// If the file is damaged while it is in use, a request that meets the damage gets a 500, and the process goes on.
func TestDamageInUseIsAnError(t *testing.T) {
	for name, damage := range map[string]func(path string){
		"cut":   func(path string) { boltfiletest.Cut(t, path, int64(4*os.Getpagesize())) },
		"gone":  func(path string) { boltfiletest.Cut(t, path, 0) },
		"pages": func(path string) { boltfiletest.Spoil(t, path) },
	} {
		t.Run(name, func(t *testing.T) {
			path := keptFile(t)
			b, err := server.OpenBolt(path)
			if err != nil {
				t.Fatal(err)
			}
			h := durablestreamstest.Handler(b, func(c *server.Config) { c.Logger = slog.New(slog.DiscardHandler) })
			damage(path)
			for range 2 {
				for _, method := range []string{"POST", "GET"} {
					if code := status(h, method, "/s", "y"); code != http.StatusInternalServerError {
						t.Errorf("%s: status %d", method, code)
					}
				}
			}
			_ = b.Close()
			if b, err := server.OpenBolt(path); name != "pages" && !errors.Is(err, boltfile.ErrDamaged) {
				t.Errorf("opened again: %v", err)
			} else if err == nil {
				_ = b.Close()
			}
		})
	}
}
