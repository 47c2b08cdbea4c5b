package durablestreams_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams"
)

// A broken server may answer with what it was sent, and net/http quotes an answer that it cannot read.
func TestHeadersThatComeBackReachNoError(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		_, _ = conn.Write([]byte("HTTP/1.1 " + strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ") + "," + r.URL.Query().Get("key") + " what\r\n\r\n"))
	}))
	defer srv.Close()
	client, err := durablestreams.New(srv.URL, durablestreams.Attempts(1),
		durablestreams.Header("Authorization", durablestreams.Static("Bearer secret-0123")),
		durablestreams.Query("key", durablestreams.Static("secret-4567")))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	s := client.Stream("orders")
	for _, s := range []*durablestreams.Stream{s, s.With(
		durablestreams.RequestHeader("Authorization", "Bearer secret-89ab"), durablestreams.RequestQuery("key", "secret-cdef"),
	)} {
		_, err = s.Head(t.Context())
		if err == nil || strings.Contains(err.Error(), "secret-") || !strings.Contains(err.Error(), "[hidden]") {
			t.Errorf("got %v, want what the server said without the secrets", err)
		}
	}
}
