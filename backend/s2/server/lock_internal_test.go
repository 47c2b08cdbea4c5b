package server

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/headrace/headrace/internal/calls"
)

// A slow client must not hold up the server: while an answer is written, the catalog is not locked.
func TestCatalogIsFreeWhileAnAnswerIsWritten(t *testing.T) {
	s := newServer(t, Config{Basins: []Basin{{"test-basin", true}}})
	for _, path := range []string{
		"/v1/basins", "/v1/basins/test-basin", "/v1/access-tokens", "/v1/locations", "/v1/locations/default",
		"/v1/metrics?set=active-basins&start=0&end=60", "/v1/metrics/test-basin?set=storage&start=0&end=60",
		"/v1/streams", "/v1/streams/s/records/tail",
	} {
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("authorization", "Bearer any")
		r.Header.Set("s2-basin", "test-basin")
		w := &lockWatcher{ResponseRecorder: httptest.NewRecorder(), srv: s}
		x := &exchange{srv: s, w: calls.Response{ResponseWriter: w}, r: r}
		if err := x.route(); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		if !w.written || w.locked {
			t.Errorf("%s: written %v, with the catalog locked %v", path, w.written, w.locked)
		}
	}
}

// A lockWatcher checks at every write whether the catalog is locked.
type lockWatcher struct {
	*httptest.ResponseRecorder
	srv             *Server
	written, locked bool
}

func (w *lockWatcher) Write(p []byte) (int, error) {
	w.written = true
	if w.srv.mu.TryLock() {
		w.srv.mu.Unlock()
	} else {
		w.locked = true
	}
	return w.ResponseRecorder.Write(p)
}
