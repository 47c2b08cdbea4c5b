package durablestreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

func TestNoRequestAfterTheEnd(t *testing.T) {
	var reads atomic.Int64
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodGet {
			reads.Add(1)
		}
		return false
	})
	if _, err := s.Append(t.Context(), "application/json", []byte(`[1,2]`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenReader(t.Context(), backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for err == nil {
		_, err = r.Read(t.Context())
	}
	before := reads.Load()
	for range 10 {
		if _, err := r.Read(t.Context()); err != io.EOF {
			t.Fatal(err)
		}
	}
	if n := reads.Load(); n != before || n > 2 {
		t.Errorf("%d requests, %d of them after the end", n, n-before)
	}
}

// canned answers every read with body, under the length given.
func canned(t *testing.T, contentType, body string, length int) *durablestreams.Stream {
	t.Helper()
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Stream-Next-Offset", "7")
		w.Header().Set("Stream-Up-To-Date", "true")
		w.Header().Set("Stream-Closed", "TRUE")
		if length > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(length))
		}
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(h.Close)
	c, err := durablestreams.NewClient(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.CloseIdleConnections)
	return c.Stream("s", durablestreams.MessageBytes(1<<10))
}

func TestBrokenResponses(t *testing.T) {
	long := `["` + string(make([]byte, 4<<10)) + `"]`
	for _, test := range []struct {
		name, contentType, body string
		length, records         int
		want                    []error
	}{
		{"whole, with TRUE for the end", "application/json; charset=utf-8", `[1, 2]`, 0, 2, []error{io.EOF}},
		{"the connection ends", "application/json", `[1,2,`, 100, 2, []error{backend.ErrTransient}},
		{"the array does not end", "application/json", `[1,2,3`, 0, 2, []error{backend.ErrTransient, durablestreams.ErrMalformed}},
		{"no array", "application/json", `{"a":1}`, 0, 0, []error{backend.ErrTransient}},
		{"several arrays", "application/json", `[1][2]`, 0, 1, []error{backend.ErrTransient}},
		{"a message that is too large", "application/json", `[1,` + long[1:], 0, 1, []error{backend.ErrTooLarge}},
		{"half a frame", "application/octet-stream", "\x20\x00", 0, 0, []error{durablestreams.ErrMalformed}},
		{"no frame", "application/octet-stream", "hello, world, this is text", 0, 0, []error{backend.ErrTooLarge, durablestreams.ErrMalformed}},
		{"text", "text/plain", "hello", 0, 0, []error{backend.ErrUnsupported}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r, err := canned(t, test.contentType, test.body, test.length).OpenReader(t.Context(), backend.Earliest)
			records := 0
			if err == nil {
				defer r.Close()
			}
			for err == nil {
				var b backend.Batch
				b, err = r.Read(t.Context())
				records += len(b.Records)
			}
			found := false
			for _, w := range test.want {
				found = found || errors.Is(err, w)
			}
			if !found || records != test.records {
				t.Errorf("%d records and %v, want %d and %v", records, err, test.records, test.want)
			}
		})
	}
}

// Tokens that rotate go with every request, those of producers and waiting readers included.
func TestHeadersAndParametersAreMadeForEachRequest(t *testing.T) {
	var made, seen atomic.Int64
	c, _ := serveVia(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n := seen.Add(1)
			if r.Header.Get("Authorization") != fmt.Sprint("token ", n) || r.URL.Query().Get("tenant") != "a&b" {
				t.Errorf("%s %s: token %q, want %d", r.Method, r.URL, r.Header.Get("Authorization"), n)
			}
			h.ServeHTTP(w, r)
		})
	}, []durablestreams.Option{
		durablestreams.Header("Authorization", func(context.Context) (string, error) { return fmt.Sprint("token ", made.Add(1)), nil }),
		durablestreams.Query("tenant", durablestreams.Static("a&b")),
	}, server.LongPoll(time.Millisecond))
	s := c.Stream("s", durablestreams.LongPoll())
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	session := open(t, s.NewAppender(jsonFormat))
	send(t, session, 0)
	recv(t, session, 0)
	r, err := s.OpenReader(t.Context(), backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for range 3 { // the record, and two waits
		if _, err := r.Read(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := seen.Load(); n < 7 {
		t.Errorf("%d requests", n)
	}
}

func TestFailingCredentialsAreUnauthorized(t *testing.T) {
	cause := errors.New("no token")
	c, err := durablestreams.NewClient("http://127.0.0.1:1", durablestreams.Header("Authorization", func(context.Context) (string, error) { return "", cause }))
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Stream("s").OpenReader(t.Context(), backend.Earliest)
	if !errors.Is(err, backend.ErrUnauthorized) || !errors.Is(err, cause) || errors.Is(err, backend.ErrTransient) {
		t.Error(err)
	}
}
