package server_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// Each test here is named after a bug that some server of this protocol has, or had.

func put(t testing.TB, url, contentType string, body string, header ...string) {
	t.Helper()
	drain(t, request(t, "PUT", url, []byte(body), append(header, "Content-Type", contentType)...), 201)
}

func post(t testing.TB, url, contentType, body string, want int, header ...string) http.Header {
	t.Helper()
	r := request(t, "POST", url, []byte(body), append(header, "Content-Type", contentType)...)
	drain(t, r, want)
	return r.Header
}

func get(t testing.TB, url string, want int, header ...string) (string, http.Header) {
	t.Helper()
	r := request(t, "GET", url, nil, header...)
	return string(drain(t, r, want)), r.Header
}

func TestPanicOnDeleteDuringLongPoll(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "")
		var polls sync.WaitGroup
		for range 10 {
			polls.Go(func() { get(t, url+"/s?offset=now&live=long-poll", 404) })
		}
		drain(t, request(t, "DELETE", url+"/s", nil), 204)
		polls.Wait()
		get(t, url+"/s", 404)
	})
}

func TestRepeatedCreateDoublesTheData(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "once")
		drain(t, request(t, "PUT", url+"/s", []byte("once"), "Content-Type", "TEXT/plain; charset=utf-8"), 200)
		if got, _ := get(t, url+"/s", 200); got != "once" {
			t.Errorf("the stream holds %q", got)
		}
	})
}

func TestOversizedBodyIsStoredAfter413(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "")
		post(t, url+"/s", "text/plain", "0123456789", 204)
		post(t, url+"/s", "text/plain", "0123456789+", 413)
		// A body of unknown length too.
		r, err := http.NewRequest("POST", url+"/s", io.MultiReader(strings.NewReader("0123456789"), strings.NewReader("+")))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "text/plain")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		drain(t, resp, 413)
		drain(t, request(t, "PUT", url+"/other", []byte("0123456789+"), "Content-Type", "text/plain"), 413)
		get(t, url+"/other", 404)
		if got, _ := get(t, url+"/s", 200); got != "0123456789" {
			t.Errorf("the stream holds %q", got)
		}
	}, durablestreamstest.AppendBytes(10))
}

func TestEventInjectionThroughCR(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "a\revent: control\rdata:{}\r\r\nb\n c\n", "Stream-Closed", "true")
		got, _ := get(t, url+"/s?offset=-1&live=sse", 200)
		want := "event: data\ndata:a\ndata:event: control\ndata:data:{}\ndata:\ndata:b\ndata:  c\ndata:\n\nevent: control\n"
		if !strings.HasPrefix(got, want) {
			t.Errorf("sent %q\nwant %q…", got, want)
		}
	})
}

func TestEventInjectionThroughCursor(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "")
		got, _ := get(t, url+`/s?offset=-1&live=sse&cursor=1%22,%22x%22:%22%0A%0Aevent:%20data`, 200)
		if !regexp.MustCompile(`^event: control\ndata:\{"streamNextOffset":"\d{16}_\d{16}","streamCursor":"\d+","upToDate":true\}\n\n$`).MatchString(got) {
			t.Errorf("sent %q", got)
		}
	}, durablestreamstest.Lifetime(time.Millisecond))
}

func TestRewrittenJSONNumbers(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "application/json", "")
		post(t, url+"/s", "application/json", `[12345678901234567890, 1.0, 1E400, -0, {"b":"<&>","a":1,"a":2,"headers":{"operation":"x"}}]`, 204)
		post(t, url+"/s", "application/json", "{\n\t\"pretty\": \"\\u003c\"\r\n}", 204)
		const want = `[12345678901234567890,1.0,1E400,-0,{"b":"<&>","a":1,"a":2,"headers":{"operation":"x"}},{"pretty":"\u003c"}]`
		if got, _ := get(t, url+"/s", 200); got != want {
			t.Errorf("read %s\nwant %s", got, want)
		}
	})
}

func TestPrettyPrintedJSONBreaksEvents(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "application/json", "{\n\n\"a\": 1\r}", "Stream-Closed", "true")
		got, _ := get(t, url+"/s?offset=-1&live=sse", 200)
		if want := "event: data\ndata:[{\"a\":1}]\n\nevent: control\n"; !strings.HasPrefix(got, want) {
			t.Errorf("sent %q", got)
		}
	})
}

func TestClosingHidesBehindTheETag(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "data")
		_, h := get(t, url+"/s", 200)
		get(t, url+"/s", 304, "If-None-Match", `"other", W/`+h.Get("ETag"))
		drain(t, request(t, "POST", url+"/s", nil, "Stream-Closed", "TRUE"), 204)
		_, h = get(t, url+"/s", 200, "If-None-Match", h.Get("ETag"))
		if h.Get("Stream-Closed") != "true" {
			t.Error("the end is not told")
		}
		// A new stream with the same name must not be taken for the old stream.
		drain(t, request(t, "DELETE", url+"/s", nil), 204)
		put(t, url+"/s", "text/plain", "DATA", "Stream-Closed", "true")
		if got, _ := get(t, url+"/s", 200, "If-None-Match", h.Get("ETag")); got != "DATA" {
			t.Errorf("read %q", got)
		}
	})
}

func TestConcurrentAppendsShareAnOffset(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "")
		offsets := make([]string, 100)
		var all sync.WaitGroup
		for i := range offsets {
			all.Go(func() { offsets[i] = post(t, url+"/s", "text/plain", "x", 204).Get("Stream-Next-Offset") })
		}
		all.Wait()
		seen := map[string]bool{}
		for _, o := range offsets {
			seen[o] = true
		}
		got, _ := get(t, url+"/s", 200)
		if len(seen) != len(offsets) || got != strings.Repeat("x", len(offsets)) {
			t.Errorf("%d offsets, %d bytes", len(seen), len(got))
		}
	})
}

func TestProducerAdvancesOnBadJSON(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "application/json", "")
		id := []string{"Producer-Id", "p", "Producer-Epoch", "0", "Producer-Seq", "0"}
		for _, bad := range []string{`[`, `[]`} {
			post(t, url+"/s", "application/json", bad, 400, id...)
		}
		post(t, url+"/s", "application/json", `1`, 200, id...)
		if h := post(t, url+"/s", "application/json", `2`, 204, id...); h.Get("Producer-Seq") != "0" || h.Get("Stream-Next-Offset") == "" {
			t.Error("a duplicate is answered with ", h)
		}
	})
}

// A wake-up between the look at the tail and the wait must not be lost.
func TestWakeUpBetweenReadAndSubscribe(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "")
		offset := "now"
		for range 200 {
			var poll sync.WaitGroup
			_, h := get(t, url+"/s?offset="+offset, 200)
			offset = h.Get("Stream-Next-Offset")
			poll.Go(func() {
				if got, _ := get(t, url+"/s?live=long-poll&offset="+offset, 200); got != "x" {
					t.Errorf("read %q", got)
				}
			})
			post(t, url+"/s", "text/plain", "x", 204)
			poll.Wait()
			_, h = get(t, url+"/s?offset=now", 200)
			offset = h.Get("Stream-Next-Offset")
		}
	})
}

// A reader at the tail receives a final append that closes the stream as one event: the data, then the end.
func TestFinalAppendIsLostOnClose(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		put(t, url+"/s", "text/plain", "")
		r := request(t, "GET", url+"/s?offset=now&live=sse", nil)
		defer r.Body.Close()
		events := bufio.NewReader(r.Body)
		if line, err := events.ReadString('\n'); err != nil || line != "event: control\n" {
			t.Fatal(line, err)
		}
		post(t, url+"/s", "text/plain", "last", 204, "Stream-Closed", "true")
		rest, err := io.ReadAll(events)
		if err != nil {
			t.Fatal(err)
		}
		_, rest, _ = bytes.Cut(rest, []byte("\n\n"))
		want := "event: data\ndata:last\n\nevent: control\ndata:{\"streamNextOffset\":\"0000000000000000_0000000000000004\",\"upToDate\":true,\"streamClosed\":true}\n\n"
		if string(rest) != want {
			t.Errorf("sent %q", rest)
		}
	})
}

// The body of a fork's or stream's first data counts however it is framed.
func TestChunkedCreateLosesItsBody(t *testing.T) {
	each(t, func(t *testing.T, url string) {
		r, err := http.NewRequest("PUT", url+"/s", io.MultiReader(strings.NewReader("chunked")))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "text/plain")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		drain(t, resp, 201)
		if got, _ := get(t, url+"/s", 200); got != "chunked" {
			t.Errorf("the stream holds %q", got)
		}
	})
}

func TestWrongMethodIsABadRequest(t *testing.T) {
	h := durablestreamstest.Handler(server.NewMemory())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("PATCH", "/s", nil))
	if w.Code != 405 || w.Header().Get("Allow") == "" {
		t.Error(w.Code, w.Header())
	}
}
