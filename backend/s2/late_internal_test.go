package s2

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
)

// A server, or a proxy in front of it, may end its answer and go on reading. What had not left by then is said to be not
// stored, so it must not leave later.
func TestNothingLeavesBehindTheEndOfAnAppendSession(t *testing.T) {
	c, err := New("any-token")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	a := c.Basin("test-basin").Stream("s").NewAppender(backend.Format{}).(*appender)
	s := a.newSession(0)
	if s.coder, err = s2s.NewCoder(s2s.None); err != nil {
		t.Fatal(err)
	}
	in, end := io.Pipe()
	s.body, s.frames = in, s2s.NewReader(in)
	go s.receive()
	defer s.Close()
	if err := s.Send(t.Context(), 0, []backend.Record{{Value: bytes.Repeat([]byte("a"), 100)}}); err != nil {
		t.Fatal(err)
	}
	_ = end.Close()
	if _, err := s.Recv(t.Context()); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("%v, want ErrTransient alone: nothing has left", err)
	}
	if left, err := io.ReadAll(s.out); len(left) > 0 || err != nil {
		t.Errorf("%d bytes left afterwards, %v", len(left), err)
	}
}

// The last words stay what they were, whatever becomes of the connection afterwards.
func TestTheLastWordsOfASessionDoNotChange(t *testing.T) {
	c, err := New("any-token")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s := c.Basin("test-basin").Stream("s").NewAppender(backend.Format{}).(*appender).newSession(0)
	if s.coder, err = s2s.NewCoder(s2s.None); err != nil {
		t.Fatal(err)
	}
	in, end := io.Pipe()
	s.body, s.frames = in, s2s.NewReader(in)
	go s.receive()
	defer s.Close()
	if err := s.Send(t.Context(), 0, []backend.Record{{Value: []byte("a")}}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, told := s.Recv(ctx)
	_ = end.Close()
	<-s.done
	if _, again := s.Recv(t.Context()); told == nil || again.Error() != told.Error() || !errors.Is(again, backend.ErrIndeterminate) {
		t.Errorf("%v, and then %v", told, again)
	}
}

// A record that comes once the session is back begins the wait anew, which the new connection was told was over.
func TestARecordBeginsTheWaitOfAReadSessionAnew(t *testing.T) {
	waits := make(chan string, 10)
	var opened atomic.Int64
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "text/event-stream" {
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
	c, err := New("any-token", BasinEndpoint(web.URL))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := c.Basin("test-basin").Stream("s", EventStream()).ReadSession(Range{From: "0", Wait: time.Hour})
	r.quiet = time.Now().Add(-2 * time.Hour) // a connection before had come to the tail
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
