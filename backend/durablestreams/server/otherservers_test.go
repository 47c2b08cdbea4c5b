package server_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// These tests too are named after defects that other servers of this protocol have.

// counted counts the calls of a storage.
type counted struct {
	server.Storage
	appends, reads, heads, waits atomic.Int64
}

func (c *counted) Append(ctx context.Context, name string, a server.Append) (server.Outcome, error) {
	c.appends.Add(1)
	return c.Storage.Append(ctx, name, a)
}

func (c *counted) Read(ctx context.Context, name string, from server.Position, limit int) (server.Chunk, error) {
	c.reads.Add(1)
	return c.Storage.Read(ctx, name, from, limit)
}

func (c *counted) Head(ctx context.Context, name string) (server.Info, error) {
	c.heads.Add(1)
	return c.Storage.Head(ctx, name)
}

func (c *counted) Wait(ctx context.Context, name string, after server.Position) error {
	c.waits.Add(1)
	return c.Storage.Wait(ctx, name, after)
}

// serve makes one request without a network, so that it may run on a fake clock.
func serve(t *testing.T, h http.Handler, method, url, body string, want int, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if w.Code != want {
		t.Errorf("%s %s: %d, want %d: %s", method, url, w.Code, want, w.Body)
	}
	return w
}

// A batch is one append, of which readers see all or nothing, and a response one read.
func TestStorageIsAskedManyTimes(t *testing.T) {
	m := server.NewMemory()
	defer m.Close()
	c := &counted{Storage: m}
	h := durablestreamstest.Handler(c, durablestreamstest.KeepAlive(25*time.Second))
	serve(t, h, "PUT", "/s", "", 201, "Content-Type", "application/json")
	serve(t, h, "POST", "/s", "[1,2,3,4,5,6,7,8]", 204, "Content-Type", "application/json")
	serve(t, h, "GET", "/s", "", 200)
	serve(t, h, "GET", "/s?offset=-1&live=long-poll", "", 200)
	if a, r, n := c.appends.Load(), c.reads.Load(), c.heads.Load(); a != 1 || r != 2 || n != 0 {
		t.Errorf("one batch and two reads are %d appends, %d reads and %d heads", a, r, n)
	}
}

// An idle follower costs one wait for each comment that keeps its connection alive, until its time is over.
func TestIdleFollowerDoesNotPollTheStorage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := server.NewMemory()
		defer m.Close()
		c := &counted{Storage: m}
		h := durablestreamstest.Handler(c, durablestreamstest.KeepAlive(25*time.Second))
		serve(t, h, "PUT", "/s", "", 201)
		for live, want := range map[string]struct {
			lasts time.Duration
			waits int64
		}{"sse": {time.Minute, 3}, "long-poll": {30 * time.Second, 1}} {
			begin, reads, waits := time.Now(), c.reads.Load(), c.waits.Load()
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/s?offset=now&live="+live, nil)
			h.ServeHTTP(httptest.NewRecorder(), r)
			if took := time.Since(begin); took != want.lasts {
				t.Errorf("%s ends after %v, want %v", live, took, want.lasts)
			}
			if r, w := c.reads.Load()-reads, c.waits.Load()-waits; r > 2 || int64(w) != want.waits {
				t.Errorf("%s: %d reads and %d waits", live, r, w)
			}
		}
	})
}

// Whatever reads or writes renews a TTL, also what changes nothing.
func TestTTLIsNotRenewed(t *testing.T) {
	id := []string{"Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", "0", "Content-Type", "text/plain"}
	for name, touch := range map[string]func(t *testing.T, h http.Handler){
		"by offset=now":       func(t *testing.T, h http.Handler) { serve(t, h, "GET", "/s?offset=now", "", 200) },
		"by a repeated batch": func(t *testing.T, h http.Handler) { serve(t, h, "POST", "/s", "x", 204, id...) },
		"by closing":          func(t *testing.T, h http.Handler) { serve(t, h, "POST", "/s", "", 204, "Stream-Closed", "true") },
		"by a producer that closes": func(t *testing.T, h http.Handler) {
			serve(t, h, "POST", "/s", "", 204, append([]string{"Stream-Closed", "true"}, "Producer-Id", "q", "Producer-Epoch", "0", "Producer-Seq", "0")...)
		},
		"by a response of 304":       func(t *testing.T, h http.Handler) { serve(t, h, "GET", "/s", "", 304, "If-None-Match", "*") },
		"by a long-poll in the past": func(t *testing.T, h http.Handler) { serve(t, h, "GET", "/s?offset=-1&live=long-poll", "", 200) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := server.NewMemory()
				defer m.Close()
				h := durablestreamstest.Handler(m)
				serve(t, h, "PUT", "/s", "", 201, "Content-Type", "text/plain", "Stream-TTL", "10")
				serve(t, h, "POST", "/s", "x", 200, id...)
				<-time.After(6 * time.Second)
				touch(t, h)
				<-time.After(6 * time.Second)
				serve(t, h, "HEAD", "/s", "", 200)
				<-time.After(6 * time.Second)
				serve(t, h, "HEAD", "/s", "", 404)
			})
		})
	}
}

// Each data event has its own control event, decodes on its own, and is what a request at its place gets.
func TestManyDataEventsShareAControlEvent(t *testing.T) {
	pair := regexp.MustCompile(`^event: data\ndata:(.*)\n\nevent: control\ndata:\{"streamNextOffset":"(\d{16}_\d{16})".*\}\n\n`)
	for contentType, one := range map[string]string{"application/json": `{"n":1}`, "application/octet-stream": "\x00\xff\n"} {
		each(t, func(t *testing.T, url string) {
			put(t, url+"/s", contentType, "")
			for range 20 {
				post(t, url+"/s", contentType, one, 204)
			}
			drain(t, request(t, "POST", url+"/s", nil, "Stream-Closed", "true"), 204)
			rest, _ := get(t, url+"/s?offset=-1&live=sse", 200)
			offset, n := "-1", 0
			for ; rest != ""; n++ {
				m := pair.FindStringSubmatch(rest)
				if m == nil {
					t.Fatalf("%d pairs, then %q", n, rest)
				}
				want, h := get(t, url+"/s?offset="+offset, 200)
				if contentType != "application/json" {
					want = base64.StdEncoding.EncodeToString([]byte(want))
				}
				if m[1] != want || m[2] != h.Get("Stream-Next-Offset") {
					t.Errorf("from %s it sent %q up to %s, and to a request %q up to %s", offset, m[1], m[2], want, h.Get("Stream-Next-Offset"))
				}
				offset, rest = m[2], rest[len(m[0]):]
			}
			if n < 5 {
				t.Errorf("%d pairs", n)
			}
		}, durablestreamstest.ChunkBytes(3*len(one)))
	}
}

// What a client has to know of the answer to a preflight, and of any answer.
func TestPreflightForgetsIfNoneMatch(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		r := request(t, "OPTIONS", url+"/s", nil, "Origin", "http://page", "Access-Control-Request-Method", "GET")
		drain(t, r, 204)
		allowed := strings.ToLower(r.Header.Get("Access-Control-Allow-Headers"))
		for _, want := range []string{"if-none-match", "content-type", "authorization", "stream-seq", "stream-ttl", "stream-expires-at", "stream-closed",
			"stream-forked-from", "stream-fork-offset", "stream-fork-sub-offset", "producer-id", "producer-epoch", "producer-seq"} {
			if !strings.Contains(allowed+",", want+",") {
				t.Errorf("%s is not allowed by %q", want, allowed)
			}
		}
		put(t, url+"/s", "text/plain", "x")
		for _, path := range []string{"/s", "/absent", "/s?offset=bad", "/s?offset=-1&live=long-poll"} {
			r := request(t, "GET", url+path, nil)
			_ = r.Body.Close()
			h := r.Header
			if h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cross-Origin-Resource-Policy") == "" || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Cache-Control") == "" {
				t.Errorf("%s is answered with %v", path, h)
			}
		}
	})
}

// Tags are quoted, and another range has another one. What "now" means changes: no cache may keep it, waited for or not.
func TestETagsAndCaches(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "first")
		next := post(t, url+"/s", "text/plain", "second", 204).Get("Stream-Next-Offset")
		tags := map[string]bool{}
		for _, from := range []string{"-1", "0000000000000000_0000000000000005", next} {
			_, h := get(t, url+"/s?offset="+from, 200)
			tag := h.Get("ETag")
			if _, err := strconv.Unquote(tag); err != nil || tags[tag] {
				t.Errorf("from %s the tag is %s", from, tag)
			}
			tags[tag] = true
		}
		_, h := get(t, url+"/s?offset=now", 200)
		if h.Get("ETag") != "" || h.Get("Cache-Control") != "no-store" {
			t.Error("now is answered with ", h)
		}
		answered := make(chan http.Header)
		go func() {
			_, h := get(t, url+"/s?offset=now&live=long-poll", 200)
			answered <- h
		}()
		for h = nil; h == nil; { // when the poll has asked is not known: one of the appends is behind it
			select {
			case h = <-answered:
			default:
				post(t, url+"/s", "text/plain", "x", 204)
			}
		}
		if h.Get("ETag") != "" || h.Get("Cache-Control") != "no-store" || h.Get("Stream-Cursor") == "" {
			t.Error("a long-poll from now is answered with ", h)
		}
	})
}

// A fork that was refused leaves no reference on its source, which goes when it is deleted.
func TestRefusedForkKeepsAReference(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "application/json", "[1,2]")
		fork := func(want int, header ...string) {
			t.Helper()
			drain(t, request(t, "PUT", url+"/fork", nil, append(header, "Stream-Forked-From", "/s")...), want)
		}
		fork(409, "Content-Type", "text/plain")
		fork(400, "Stream-Fork-Offset", "9999999999999999_9999999999999999")
		fork(400, "Stream-Fork-Offset", "0000000000000000_0000000000000000", "Stream-Fork-Sub-Offset", "3")
		fork(400, "Stream-TTL", "-1")
		drain(t, request(t, "DELETE", url+"/s", nil), 204)
		get(t, url+"/s", 404)
		put(t, url+"/s", "application/json", "[3]")
		// Without a type of its own a fork has that of its source, also when it is asked for again.
		fork(201)
		fork(200)
		if got, h := get(t, url+"/fork", 200); got != "[3]" || h.Get("Content-Type") != "application/json" {
			t.Errorf("the fork is %s %s", h.Get("Content-Type"), got)
		}
		// A source on another server is no stream of this one.
		drain(t, request(t, "PUT", url+"/other", nil, "Stream-Forked-From", "http://elsewhere/s"), 400)
	})
}

// Batches of one producer that come by several connections overtake each other all the time. One that is a little early is
// not refused, to be sent a second time, but stored in its turn; one whose predecessors do not come still is.
func TestOvertakingBatchIsSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := server.NewMemory()
		defer m.Close()
		h := durablestreamstest.Handler(m)
		serve(t, h, "PUT", "/s", "", 201, "Content-Type", "text/plain")
		send := func(seq, want int) time.Duration {
			begin := time.Now()
			serve(t, h, "POST", "/s", strconv.Itoa(seq), want, "Content-Type", "text/plain",
				"Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", strconv.Itoa(seq))
			return time.Since(begin)
		}
		var early sync.WaitGroup
		for _, seq := range []int{4, 2, 1, 3} {
			early.Go(func() { send(seq, 200) })
			synctest.Wait()
		}
		send(0, 200)
		early.Wait()
		if got := serve(t, h, "GET", "/s", "", 200).Body.String(); got != "01234" {
			t.Errorf("stored %q", got)
		}
		if took := send(6, 409); took != 50*time.Millisecond {
			t.Errorf("refused after %v", took)
		}
		if took := send(1000, 409); took != 0 {
			t.Errorf("who is far ahead is refused after %v", took)
		}
		early.Go(func() { send(6, 409) })
		synctest.Wait()
		serve(t, h, "POST", "/s", "", 204, "Stream-Closed", "true")
		early.Wait()
	})
}
