package server_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// A reader that asks for the beginning is told the place of the beginning, because the place moves when data is dropped. A
// read from the named place succeeds.
func TestTheBeginningIsNamed(t *testing.T) {
	for name, open := range storages(t, server.Retain(10)) {
		t.Run(name, func(t *testing.T) {
			storage, end := open()
			s := httptest.NewServer(durablestreamstest.Handler(storage))
			put(t, s.URL+"/s", "text/plain", "")
			starts := map[string]bool{}
			for range 5 {
				post(t, s.URL+"/s", "text/plain", "0123456789", 204)
				for _, query := range []string{"?offset=-1", "", "?offset=-1&live=long-poll"} {
					whole, h := get(t, s.URL+"/s"+query, 200)
					start := h.Get("Headrace-Start-Offset")
					starts[start] = true
					again, h := get(t, s.URL+"/s?offset="+start, 200)
					if again != whole || len(whole) < 10 {
						t.Errorf("%q holds %q, and from %q there is %q", query, whole, start, again)
					}
					if h.Get("Headrace-Start-Offset") != "" {
						t.Error("a start that the client knows is named")
					}
				}
			}
			if len(starts) < 4 {
				t.Errorf("the beginning was at %v only", starts)
			}
			s.Close()
			http.DefaultClient.CloseIdleConnections()
			if err := end(); err != nil {
				t.Error(err)
			}
		})
	}
}
