package server_test

import (
	"bytes"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
)

// answer makes one request of the handler in this goroutine and returns its status and its text.
func answer(h http.Handler, method, target string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w.Code, w.Body.String()
}

func TestCauseOfAServerErrorIsLoggedAndNotSent(t *testing.T) {
	path := keptFile(t)
	b, err := server.OpenBolt(path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var log bytes.Buffer
	logTo := func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	h := durablestreamstest.Handler(b, logTo)
	boltfiletest.Cut(t, path, int64(4*os.Getpagesize()))
	code, text := answer(h, "GET", "/s")
	if code != http.StatusInternalServerError || strings.Contains(text, "streams.db") {
		t.Errorf("status %d, %q", code, text)
	}
	for _, want := range []string{"level=ERROR", "stream=/s", "method=GET", "streams.db", "damaged"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log has no %q: %s", want, log.String())
		}
	}
}

// A lostConn is the answer over a connection that has ended: its deadlines cannot be set.
type lostConn struct{ *httptest.ResponseRecorder }

func (lostConn) SetReadDeadline(time.Time) error { return net.ErrClosed }

func TestALostConnectionIsNoFailureOfTheStorage(t *testing.T) {
	var log bytes.Buffer
	logTo := func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	h := durablestreamstest.Handler(server.NewMemory(), logTo)
	for _, method := range []string{"PUT", "POST", "DELETE"} {
		w := lostConn{httptest.NewRecorder()}
		h.ServeHTTP(w, httptest.NewRequest(method, "/s", strings.NewReader("body")))
		if w.Code >= http.StatusInternalServerError {
			t.Errorf("%s: status %d", method, w.Code)
		}
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}

func TestRefusalsNameTheStreamAndAreNotLogged(t *testing.T) {
	var log bytes.Buffer
	logTo := func(c *server.Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }
	h := durablestreamstest.Handler(server.NewMemory(), logTo)
	if code, text := answer(h, "GET", "/none"); code != http.StatusNotFound || !strings.HasPrefix(text, `stream "/none": no such stream`) {
		t.Errorf("status %d, %q", code, text)
	}
	if code, text := answer(h, "GET", "/none?offset=x"); code != http.StatusBadRequest || !strings.HasPrefix(text, `stream "/none": bad request: malformed offset`) {
		t.Errorf("status %d, %q", code, text)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log.String())
	}
}
