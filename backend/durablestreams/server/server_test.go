package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// A response holds whole appends. A partial response has no Stream-Up-To-Date. The offsets of the responses lead through the
// stream without gaps.
func TestChunks(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "application/json", "")
		want := "["
		for i := range 50 {
			body := strconv.Itoa(i)
			if i == 20 {
				body = `"` + strings.Repeat("x", 100_000) + `"` // larger than a chunk, a buffer and a piece
			}
			post(t, url+"/s", "application/json", body, 204)
			want += body + ","
		}
		want = want[:len(want)-1] + "]"
		drain(t, request(t, "POST", url+"/s", nil, "Stream-Closed", "true"), 204)
		var all []string
		for offset, n := "-1", 0; ; n++ {
			got, h := get(t, url+"/s?offset="+offset, 200)
			all = append(all, got[1:len(got)-1])
			tail := h.Get("Stream-Up-To-Date") == "true"
			if tail != (h.Get("Stream-Closed") == "true") {
				t.Fatal("the end is told where it is not: ", h)
			}
			offset = h.Get("Stream-Next-Offset")
			if tail {
				if n < 5 {
					t.Errorf("%d responses", n)
				}
				break
			}
			if h.Get("Cache-Control") == "no-cache" {
				t.Error("a partial response never changes: ", h)
			}
		}
		if got := "[" + strings.Join(all, ",") + "]"; got != want {
			t.Errorf("read %.200s", got)
		}
		// A place inside a message is not one to read from.
		get(t, url+"/s?offset="+server.Position(1).String(), 400)
		get(t, url+"/s?offset="+server.Position(1_000_000).String(), 410)
	}, durablestreamstest.ChunkBytes(20))
}

// A restart keeps the data, the producers, who closed, and the forks with their deleted sources.
func TestRestart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "streams.db")
	run := func(f func(url string)) {
		b, err := server.OpenBolt(file)
		if err != nil {
			t.Fatal(err)
		}
		s := httptest.NewServer(durablestreamstest.Handler(b))
		f(s.URL)
		s.Close()
		http.DefaultClient.CloseIdleConnections()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	id := func(epoch, seq int) []string {
		return []string{"Producer-Id", "a/b:\xe9", "Producer-Epoch", strconv.Itoa(epoch), "Producer-Seq", strconv.Itoa(seq)}
	}
	big := strings.Repeat("0123456789", 10_000)
	run(func(url string) {
		put(t, url+"/s", "text/plain", "first,", "Stream-TTL", "3600")
		post(t, url+"/s", "text/plain", big, 200, id(3, 0)...)
		put(t, url+"/fork", "text/plain", "own", "Stream-Forked-From", "/s", "Stream-Fork-Offset", server.Position(0).String(), "Stream-Fork-Sub-Offset", "5")
		put(t, url+"/fork2", "text/plain", "", "Stream-Forked-From", "/fork")
		post(t, url+"/s", "text/plain", "last", 200, append(id(3, 1), "Stream-Closed", "true", "Stream-Seq", "7")...)
		put(t, url+"/seq", "text/plain", "")
		post(t, url+"/seq", "text/plain", "x", 204, "Stream-Seq", "7")
	})
	run(func(url string) {
		if got, h := get(t, url+"/s", 200); got != "first,"+big+"last" || h.Get("Stream-Closed") != "true" {
			t.Errorf("read %d bytes", len(got))
		}
		post(t, url+"/s", "text/plain", "last", 204, append(id(3, 1), "Stream-Closed", "true")...)
		post(t, url+"/s", "text/plain", "more", 409, id(3, 2)...)
		post(t, url+"/seq", "text/plain", "x", 409, "Stream-Seq", "7")
		drain(t, request(t, "DELETE", url+"/s", nil), 204)
		drain(t, request(t, "DELETE", url+"/fork", nil), 204)
	})
	run(func(url string) {
		get(t, url+"/s", 410)
		get(t, url+"/fork", 410)
		if got, h := get(t, url+"/fork2", 200); got != "firstown" || h.Get("Stream-Closed") != "" {
			t.Errorf("read %q", got)
		}
		drain(t, request(t, "PUT", url+"/s", nil, "Content-Type", "text/plain"), 409)
		drain(t, request(t, "DELETE", url+"/fork2", nil), 204)
		get(t, url+"/s", 404)
		put(t, url+"/s", "text/plain", "new")
		post(t, url+"/s", "text/plain", "x", 200, id(0, 0)...)
	})
}

// Only one process has the file.
func TestTwoOwners(t *testing.T) {
	t.Parallel() // the test mostly waits
	file := filepath.Join(t.TempDir(), "streams.db")
	p := start(t, file)
	defer p.end()
	if b, err := server.OpenBolt(file); err == nil {
		t.Error("opened twice: ", b.Close())
	}
}

func TestRetain(t *testing.T) {
	for name, open := range storages(t, server.Retain(10)) {
		t.Run(name, func(t *testing.T) {
			storage, end := open()
			s := httptest.NewServer(durablestreamstest.Handler(storage))
			put(t, s.URL+"/s", "text/plain", "")
			first := server.Position(0).String()
			for i := range 20 {
				post(t, s.URL+"/s", "text/plain", fmt.Sprintf("%04d", i), 204)
			}
			get(t, s.URL+"/s?offset="+first, 410)
			got, _ := get(t, s.URL+"/s?offset=-1", 200)
			if !strings.HasSuffix(got, "0017"+"0018"+"0019") || len(got) > 16 {
				t.Errorf("kept %q", got)
			}
			s.Close()
			http.DefaultClient.CloseIdleConnections()
			if err := end(); err != nil {
				t.Error(err)
			}
		})
	}
}

// Appends, reads and waits renew a TTL. A HEAD does not.
func TestTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := server.NewMemory()
		defer m.Close()
		ctx := t.Context()
		create := func(name string) {
			if _, created, err := m.Create(ctx, name, server.Creation{TTL: server.TTL{Set: true, Seconds: 10}}); err != nil || !created {
				t.Fatal(created, err)
			}
		}
		later := func(d time.Duration) { <-time.After(d) }
		gone := func(name string) bool {
			_, err := m.Head(ctx, name)
			return errors.Is(err, server.ErrNotFound)
		}
		for _, name := range []string{"appended", "read", "waited", "looked"} {
			create(name)
		}
		later(6 * time.Second)
		if _, err := m.Append(ctx, "appended", server.Append{ContentType: "application/octet-stream", Data: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Read(ctx, "read", server.Now, 1); err != nil {
			t.Fatal(err)
		}
		waiting, cancel := context.WithTimeout(ctx, 24*time.Second)
		defer cancel()
		ended := make(chan error)
		go func() { ended <- m.Wait(waiting, "waited", 0) }()
		later(6 * time.Second)
		for name, want := range map[string]bool{"appended": false, "read": false, "waited": false, "looked": true} {
			if gone(name) != want {
				t.Errorf("%s: gone is %v", name, !want)
			}
		}
		create("looked") // the name of an expired stream is free
		later(6 * time.Second)
		if !gone("appended") || !gone("read") || gone("waited") {
			t.Error("six seconds too late, or too early")
		}
		if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		later(6 * time.Second)
		if gone("waited") {
			t.Error("a wait that ends renews the TTL")
		}
		later(6 * time.Second)
		if !gone("waited") {
			t.Error("kept for ever")
		}
	})
}

// The hook is asked for the stream, and for the source of a fork.
func TestAuthorize(t *testing.T) {
	refused := errors.New("secret reason")
	each(t, func(t *testing.T, url string) {
		put(t, url+"/mine", "text/plain", "x", "Authorization", "me")
		if body, h := get(t, url+"/mine", 401); strings.Contains(body, "secret") || h.Get("WWW-Authenticate") == "" {
			t.Error(body, h)
		}
		drain(t, request(t, "PUT", url+"/theirs", nil, "Authorization", "me"), 403)
		drain(t, request(t, "PUT", url+"/mine2", nil, "Authorization", "me", "Stream-Forked-From", "/theirs"), 403)
		drain(t, request(t, "OPTIONS", url+"/theirs", nil), 204)
		put(t, url+"/mine2", "text/plain", "", "Authorization", "me", "Stream-Forked-From", "/mine")
		if _, h := get(t, url+"/mine?offset=-1", 200, "Authorization", "me"); strings.Contains(h.Get("Cache-Control"), "public") {
			t.Error("shared caches may keep it")
		}
	}, durablestreamstest.Authorize(func(r *http.Request, stream string) error {
		if r.Header.Get("Authorization") != "me" || !strings.HasPrefix(stream, "/mine") {
			return refused
		}
		return nil
	}))
}

func TestPaths(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/v1/stream/a%2Fb", "text/plain", "x")
		if got, _ := get(t, url+"/v1/stream/a/b", 200); got != "x" {
			t.Error(got)
		}
		for path, want := range map[string]int{
			"/v1/stream/": 404, "/other": 404, "/v1/stream/__ds/subscriptions/x": 404, "/v1/stream/%2e%2e/x": 400, "/v1/stream/x%00": 400,
			"/v1/stream/" + strings.Repeat("x", 5000): 400,
		} {
			drain(t, request(t, "PUT", url+path, nil), want)
		}
	}, durablestreamstest.Prefix("/v1/stream/"))
}

// A request to a closed storage gets a 503 and is asked to try again later.
func TestStopped(t *testing.T) {
	for name, open := range storages(t) {
		t.Run(name, func(t *testing.T) {
			storage, end := open()
			h := durablestreamstest.Handler(storage)
			serve := func(method string) int {
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(method, "/s", strings.NewReader("x")))
				return w.Code
			}
			if code := serve("PUT"); code != 201 {
				t.Fatal(code)
			}
			if err := end(); err != nil {
				t.Fatal(err)
			}
			for _, method := range []string{"PUT", "GET", "HEAD", "DELETE"} {
				if code := serve(method); code != 503 {
					t.Errorf("%s: %d", method, code)
				}
			}
		})
	}
}

// A chunk of a stream that is then deleted returns the data of this stream or an error, and never the data of a new stream
// with the same name.
func TestDeleteDuringRead(t *testing.T) {
	for name, open := range storages(t) {
		t.Run(name, func(t *testing.T) {
			storage, end := open()
			ctx := t.Context()
			create := func(data string) {
				if _, created, err := storage.Create(ctx, "/s", server.Creation{Data: []byte(data)}); err != nil || !created {
					t.Fatal(created, err)
				}
			}
			create("old")
			c, err := storage.Read(ctx, "/s", server.Beginning, 10)
			if err != nil {
				t.Fatal(err)
			}
			if err := storage.Delete(ctx, "/s"); err != nil {
				t.Fatal(err)
			}
			create("new")
			buf := make([]byte, 3)
			if _, err := c.Data.ReadAt(buf, 0); err == nil && string(buf) != "old" {
				t.Errorf("read %q", buf)
			}
			if again, err := storage.Head(ctx, "/s"); err != nil || again.ID == c.ID {
				t.Error("both have one ID: ", again.ID, err)
			}
			if err := end(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestCursor(t *testing.T) {
	now := time.Date(2024, 10, 9, 1, 0, 0, 0, time.UTC) // interval 180
	for _, sent := range []string{"", "x", "-1", "179", "99999999999999999999"} {
		if got := server.Cursor(sent, now); got != "180" {
			t.Errorf("%q is answered with %s", sent, got)
		}
	}
	for _, sent := range []string{"180", "200"} {
		n, _ := strconv.Atoi(sent)
		if got, err := strconv.Atoi(server.Cursor(sent, now)); err != nil || got <= n || got > n+180 {
			t.Errorf("%s is answered with %d", sent, got)
		}
	}
}

func TestPosition(t *testing.T) {
	for _, p := range []server.Position{0, 1, 9_999_999_999_999_999, 1 << 53} {
		if got, err := server.ParsePosition(p.String()); err != nil || got != p {
			t.Errorf("%s is read as %d, %v", p, got, err)
		}
	}
	for _, bad := range []string{"", "0", "-1", "now", "0_0", "0000000000000000_000000000000000", "0000000000000000_000000000000000x", "0000000000000000_0000000000000000 "} {
		if p, err := server.ParsePosition(bad); !errors.Is(err, server.ErrRequest) {
			t.Errorf("%q is read as %d", bad, p)
		}
	}
	if p, err := server.ParsePosition("0000000000000001_0000000000000000"); err != nil || p != 9_999_999_999_999_999 {
		t.Error(p, err)
	}
}

// FuzzRow: a damaged file is an error at opening and nothing worse.
func FuzzRow(f *testing.F) {
	f.Add([]byte("12345678"), []byte(`{"id":"a","name":"cw==","tail":5,"start":1,"closing":{"ID":"p"}}`))
	f.Add([]byte("1"), []byte(`{}`))
	f.Add([]byte("12345678"), []byte(`{"start":2,"tail":1,"base":-1}`))
	f.Fuzz(func(t *testing.T, k, v []byte) {
		if s, _, err := server.ParseRow(k, v); (s == nil) == (err == nil) {
			t.Error(s, err)
		}
	})
}
