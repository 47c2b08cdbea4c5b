package s2

import (
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

// A reconnected session asks for the rest of Wait only. A record then restarts Wait, and the session must ask for all of it.
func TestARecordBeginsTheWaitOfAReadSessionAnew(t *testing.T) {
	waits := make(chan string, 10)
	var opened atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/event-stream" {
			w.Header().Set("Content-Type", protobuf)
			return // no bytes are a batch without records
		}
		waits <- r.URL.Query().Get("wait")
		w.Header().Set("Content-Type", "text/event-stream")
		if opened.Add(1) == 1 {
			_, _ = io.WriteString(w, "event: batch\ndata: {\"records\":[{\"seq_num\":0}]}\n\n")
		}
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
	}))
	defer web.Close()
	c, err := New(Config{Token: "any-token", BasinEndpoint: web.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := c.Basin("test-basin").Stream("s", SSE()).ReadSession(Range{From: "0", Wait: time.Hour})
	r.quietSince = time.Now().Add(-2 * time.Hour) // an earlier connection had reached the tail
	n := 0
	for _, err := range r.Records(t.Context()) {
		if n++; err != nil {
			t.Fatal(err)
		}
	}
	if n != 1 || len(waits) != 2 {
		t.Fatalf("%d records over %d connections, want 1 over 2", n, len(waits))
	}
	if first, second := <-waits, <-waits; first != "0" || second != "3600" {
		t.Errorf("asked to wait %s and %s, want not at all and then the hour", first, second)
	}
}
