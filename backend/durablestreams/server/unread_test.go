package server_test

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// raw sends text over a connection of its own and returns what the server answers, whether the connection ends behind that,
// and how long both took.
func raw(t *testing.T, s *httptest.Server, text string) (status int, ends bool, took time.Duration) {
	t.Helper()
	begin := time.Now()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(begin.Add(time.Minute))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	r := bufio.NewReader(c)
	method, _, _ := strings.Cut(text, " ")
	answer, err := http.ReadResponse(r, &http.Request{Method: method})
	if err != nil {
		t.Fatalf("no answer to %.40q: %v", text, err)
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	_, err = r.ReadByte()
	return answer.StatusCode, err == io.EOF, time.Since(begin)
}

// A request that announces a body and never sends it is answered, and its connection ends.
func TestRequestWithoutItsBodyIsAnswered(t *testing.T) {
	t.Parallel() // the test mostly waits
	m := server.NewMemory()
	defer m.Close()
	s := httptest.NewServer(durablestreamstest.Handler(m, durablestreamstest.BodyStall(200*time.Millisecond)))
	defer s.Close()
	put(t, s.URL+"/s", "text/plain", "abc")
	for _, test := range []struct {
		line, header string
		status       int
	}{
		{"OPTIONS /s", "", 408},
		{"HEAD /s", "", 408},
		{"GET /s?offset=-1", "", 408},
		{"GET /s?offset=-1&live=long-poll", "", 408},
		{"GET /none", "", 408},
		{"PATCH /s", "", 408},
		{"PUT /a/../b", "Content-Type: text/plain\r\n", 400},
		{"PUT /t", "Content-Type: text/plain\r\nStream-TTL: soon\r\n", 400},
		{"PUT /t", "Content-Type: text/plain\r\n", 408},
		{"POST /s", "Content-Type: text/plain\r\nProducer-Id: p\r\n", 400},
		{"POST /s", "Content-Type: text/plain\r\n", 408},
		{"DELETE /s", "", 408},
	} {
		text := fmt.Sprintf("%s HTTP/1.1\r\nHost: x\r\n%sContent-Length: 3\r\n\r\n", test.line, test.header)
		status, ends, took := raw(t, s, text)
		if status != test.status || !ends {
			t.Errorf("%s: %d after %v, connection ends: %t; want %d and the end", test.line, status, took, ends, test.status)
		}
	}
}

// A body that nobody needs does not end its connection, and leaves no deadline behind for a live read.
func TestUnneededBodyIsPassedOver(t *testing.T) {
	t.Parallel() // the test mostly waits
	m := server.NewMemory()
	defer m.Close()
	h := durablestreamstest.Handler(m, durablestreamstest.BodyStall(200*time.Millisecond), durablestreamstest.LongPoll(time.Second))
	s := httptest.NewServer(h)
	defer s.Close()
	put(t, s.URL+"/s", "text/plain", "")
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, request := range []struct {
		line   string
		status int
	}{{"GET /s?offset=now&live=long-poll", 204}, {"HEAD /s", 200}, {"OPTIONS /s", 204}} {
		method, _, _ := strings.Cut(request.line, " ")
		if _, err := fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc", request.line); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(r, &http.Request{Method: method})
		if err != nil || answer.StatusCode != request.status {
			t.Fatalf("%s: %v, %v; want %d", request.line, answer, err, request.status)
		}
	}
}

// A body that goes on arriving, but too slowly, is given up as a whole.
func TestSlowBodyIsGivenUp(t *testing.T) {
	m := server.NewMemory()
	defer m.Close()
	s := httptest.NewServer(durablestreamstest.Handler(m, durablestreamstest.BodyStall(time.Minute), durablestreamstest.BodyTime(300*time.Millisecond)))
	defer s.Close()
	put(t, s.URL+"/s", "text/plain", "")
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprint(c, "POST /s HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 1000000\r\n\r\n")
	go func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for range 1000 {
			if _, err := io.WriteString(c, "x"); err != nil {
				return
			}
			<-tick.C
		}
	}()
	answer, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil || answer.StatusCode != http.StatusRequestTimeout {
		t.Errorf("%v, %v; want 408", answer, err)
	}
}

// Proxies cut a connection that is quiet for too long, so a quiet SSE response sends comments.
func TestQuietSSEResponseIsKeptAlive(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "")
		r := request(t, "GET", url+"/s?offset=now&live=sse", nil)
		defer r.Body.Close()
		lines := bufio.NewScanner(r.Body)
		comments := 0
		for comments < 3 && lines.Scan() {
			if strings.HasPrefix(lines.Text(), ":") {
				comments++
			}
		}
		if comments < 3 {
			t.Errorf("%d comments, then %v", comments, lines.Err())
		}
	}, durablestreamstest.KeepAlive(10*time.Millisecond))
}

func TestFaultyParameterKeepsTheMediaType(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		for name, contentType := range map[string]string{
			"/a": "application/json; charset", "/b": "Application/JSON;=", "/c": "application/json; charset=utf-8",
		} {
			put(t, url+name, contentType, "")
			post(t, url+name, "application/json", `[1, 2]`, 204)
			if body, _ := get(t, url+name, 200); body != "[1,2]" {
				t.Errorf("a stream created with %q reads %q", contentType, body)
			}
		}
	})
}

// The cursor that follows is always larger, also where a client sends one from far in the future.
func TestCursorNeverGoesBackwards(t *testing.T) {
	for _, sent := range []int64{1 << 30, 1<<53 - 201, 1<<53 - 1, 1 << 53, math.MaxInt64 - 200} {
		next, err := strconv.ParseInt(server.Cursor(strconv.FormatInt(sent, 10), time.Now()), 10, 64)
		if err != nil || next <= sent {
			t.Errorf("behind cursor %d comes %d, %v", sent, next, err)
		}
	}
}
