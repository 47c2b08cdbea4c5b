package server_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// Close ends live readers, and later readers do not wait.
func TestCloseEndsLiveReaders(t *testing.T) {
	m := server.NewMemory()
	h := durablestreamstest.Handler(m)
	s := httptest.NewServer(h)
	put(t, s.URL+"/s", "text/plain", "")
	sse := request(t, "GET", s.URL+"/s?offset=now&live=sse", nil)
	polled := make(chan *http.Response)
	go func() { polled <- request(t, "GET", s.URL+"/s?offset=now&live=long-poll", nil) }()
	until(t, "two waiting", func() bool { return server.Waiting(h) == 2 })
	_ = h.Close()
	drain(t, sse, 200)
	drain(t, <-polled, 204)
	get(t, s.URL+"/s?offset=now&live=long-poll", 204)
	get(t, s.URL+"/s?offset=now&live=sse", 200)
	s.Close()
	http.DefaultClient.CloseIdleConnections()
	_ = m.Close()
}

// A client that goes away leaves nothing behind.
func TestClientGone(t *testing.T) {
	for _, live := range []string{"sse", "long-poll"} {
		m := server.NewMemory()
		h := durablestreamstest.Handler(m)
		s := httptest.NewServer(h)
		put(t, s.URL+"/s", "text/plain", "")
		ctx, cancel := context.WithCancel(t.Context())
		r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/s?offset=now&live="+live, nil)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			resp, err := http.DefaultClient.Do(r)
			if err == nil {
				_, err = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
			ended <- err
		}()
		until(t, "waiting", func() bool { return server.Waiting(h) == 1 })
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		until(t, "left", func() bool { return server.Waiting(h) == 0 })
		s.Close()
		_ = m.Close()
	}
}

// The deadline of one response does not apply to the next response on the connection.
func TestStallOfAnEarlierResponse(t *testing.T) {
	t.Parallel() // the test mostly waits
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "x")
		_, h := get(t, url+"/s", 200)
		// On the same connection, and answered later than a stalled one would have been given up.
		get(t, url+"/s?live=long-poll&offset="+h.Get("Stream-Next-Offset"), 204)
	}, durablestreamstest.BodyStall(time.Second), durablestreamstest.LongPoll(1500*time.Millisecond))
}

// A client that reads nothing of a response, or sends nothing of a body, is given up.
func TestStalledClient(t *testing.T) {
	t.Parallel() // the test mostly waits
	m := server.NewMemory()
	h := durablestreamstest.Handler(m, durablestreamstest.BodyStall(500*time.Millisecond))
	var begun, ended atomic.Int64
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun.Add(1)
		defer ended.Add(1)
		h.ServeHTTP(w, r)
	}))
	// More than socket buffers take.
	data := bytes.Repeat([]byte("x"), 64<<20)
	if _, _, err := m.Create(t.Context(), "/s", server.Creation{ContentType: "text/plain", Data: data}); err != nil {
		t.Fatal(err)
	}
	for i, head := range []string{
		"GET /s HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /s?offset=-1&live=sse HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /s HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nx",
	} {
		c, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, head); err != nil {
			t.Fatal(err)
		}
		until(t, "given up", func() bool { return begun.Load() == int64(i+1) && ended.Load() == int64(i+1) })
		if strings.HasPrefix(head, "POST") { // a 408 may be tried again; a 400 would say that another try is useless
			answer, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || answer.StatusCode != http.StatusRequestTimeout {
				t.Errorf("the answer to a body that does not come is %v, %v", answer, err)
			}
		}
		_ = c.Close()
	}
	if info, err := m.Head(t.Context(), "/s"); err != nil || info.Tail != 64<<20 {
		t.Errorf("a part of a body is stored: %v, %v", info, err)
	}
	s.Close()
	_ = m.Close()
}
