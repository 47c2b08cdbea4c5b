package durablestreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

// Defects that clients of the protocol have had when they read.

// consumed reads numbers with a consumer up to the tail and says what it was told last, and how often a reader was lost.
func consumed(t *testing.T, s backend.Source) (got []int, reopened uint64, errs []error) {
	t.Helper()
	c, err := consumer.New(s, codec.JSON[int](), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	for m, err := range c.Messages(t.Context()) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		got = append(got, m.Value)
	}
	return got, c.Stats().Reopened, errs
}

func TestReadsAreTriedAgain(t *testing.T) {
	t.Parallel() // the test mostly waits
	for name, fail := range map[string]http.HandlerFunc{
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"503": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"429 with Retry-After": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		},
		"cut": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"cut within the array": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"], w.Header()["Stream-Next-Offset"] = []string{"application/json"}, []string{"9"}
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "[0,1,2")
		},
		"an array that is none": func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"], w.Header()["Stream-Next-Offset"] = []string{"application/json"}, []string{"9"}
			_, _ = io.WriteString(w, "<html>")
		},
	} {
		t.Run(name, func(t *testing.T) {
			left := atomic.Int64{}
			left.Store(2)
			s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if r.Method != http.MethodGet || left.Add(-1) < 0 {
					return false
				}
				fail(w, r)
				return true
			})
			put(t, s, "application/json", "[0,1,2,3]")
			if got, _, errs := consumed(t, s); fmt.Sprint(got) != "[0 1 2 3]" || len(errs) > 0 || left.Load() >= 0 {
				t.Errorf("%v, %v, with %d failures to come", got, errs, left.Load())
			}
		})
	}
}

// What no second try can change is tried once, and said once.
func TestErrorIsYieldedOnce(t *testing.T) {
	for status, want := range map[int]error{400: backend.ErrRejected, 401: backend.ErrUnauthorized, 403: backend.ErrUnauthorized, 404: backend.ErrNotFound} {
		var reads atomic.Int64
		s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if r.Method == http.MethodGet {
				reads.Add(1)
				w.WriteHeader(status)
			}
			return r.Method == http.MethodGet
		})
		_, _, errs := consumed(t, s)
		// A 400 may mean that the beginning has another name.
		if len(errs) != 1 || !errors.Is(errs[0], want) || reads.Load() > 1 && status != 400 || reads.Load() > 2 {
			t.Errorf("%d: %v, after %d requests; want %v", status, errs, reads.Load(), want)
		}
	}
}

func TestClosedStreamIsNotAskedAgain(t *testing.T) {
	for mode, opts := range map[string][]durablestreams.StreamOption{"auto": nil, "long-poll": {durablestreams.LongPoll()}, "SSE": {durablestreams.SSE()}} {
		for _, late := range []bool{false, true} { // closed before the reader comes, or while it waits
			t.Run(fmt.Sprintf("%s, late: %v", mode, late), func(t *testing.T) {
				var reads atomic.Int64
				s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
					if r.Method == http.MethodGet {
						reads.Add(1)
					}
					return false
				}, opts...)
				put(t, s, "application/json", "[1,2]")
				end := func() {
					if err := s.Seal(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				if !late {
					end()
				}
				r, err := s.OpenReader(t.Context(), backend.Earliest)
				if err != nil {
					t.Fatal(err)
				}
				defer r.Close()
				for n := 0; err == nil; n++ {
					_, err = r.Read(t.Context())
					if late && n == 0 {
						end()
					}
				}
				before := reads.Load()
				for range 10 {
					if _, err := r.Read(t.Context()); err != io.EOF {
						t.Fatal(err)
					}
				}
				if n := reads.Load(); n != before || n > 3 {
					t.Errorf("%d requests, %d of them after the end", n, n-before)
				}
			})
		}
	}
}

// events answers live reads with events, from the first connection to the last, which closes the stream, and others with an
// empty array. It returns what a reader finds in them and what ends it.
func events(t *testing.T, connections ...string) (got string, requests int64, err error) {
	t.Helper()
	var asked atomic.Int64
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.URL.Query().Get("live") != "sse" {
			return false
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, connections[min(int(asked.Add(1)), len(connections))-1])
		return true
	}, durablestreams.SSE())
	r, err := s.OpenReader(t.Context(), backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for err == nil {
		var b backend.Batch
		b, err = r.Read(t.Context())
		got += joined(b.Records)
	}
	return got, asked.Load(), err
}

const lastEvent = "event: control\ndata: {\"streamNextOffset\":\"9\",\"streamClosed\":true}\n\n"

// Each data event is an array of its own, also when several come before one control event, as the reference server's do.
// Comments and events of unknown types are passed over.
func TestEachDataEventIsAnArrayOfItsOwn(t *testing.T) {
	got, _, err := events(t, ": hello\r\nevent: data\r\ndata: [1,\r\ndata:2]\r\n\r\nevent: other\ndata: x\n\nevent: data\ndata:[3]\n\n"+lastEvent)
	if got != "123" || err != io.EOF {
		t.Errorf("%s, %v", got, err)
	}
}

func TestDataWithoutItsControlEventIsDeliveredOnce(t *testing.T) {
	got, n, err := events(t, "event: data\ndata: [1]\n\n", "event: data\ndata: [1]\n\n"+lastEvent)
	if got != "1" || n != 2 || err != io.EOF {
		t.Errorf("%s, over %d connections, %v", got, n, err)
	}
}

func TestBadEventsAreRefused(t *testing.T) {
	for name, body := range map[string]string{
		"control that is no JSON": "event: control\ndata: {\n\n",
		"control of nothing":      "event: control\ndata:\n\n",
		"control of null":         "event: control\ndata: null\n\n",
		"control of no place":     "event: control\ndata: {\"streamNextOffset\":\"now\"}\n\n",
		"a place before the last": "event: control\ndata: {\"streamNextOffset\":\"/\"}\n\n",
		"data that is no array":   "event: data\ndata: {}\n\n" + lastEvent,
		"data that does not end":  "event: data\ndata: [1,2\n\n" + lastEvent,
	} {
		got, _, err := events(t, body)
		if !errors.Is(err, backend.ErrTransient) || !isProtocolError(err) || strings.Contains(got, "2") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

func TestEventsAreDeliveredUnderTheirOwnOffset(t *testing.T) {
	for _, opt := range []durablestreams.StreamOption{durablestreams.SSE(), durablestreams.LongPoll()} {
		s := jsonStream(t, nil, opt)
		r, err := s.OpenReader(t.Context(), backend.Latest)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for i := range 5 {
			put(t, s, "application/json", fmt.Sprintf("[%d,%d]", 2*i, 2*i+1))
			for n := 0; n < 2; {
				b, err := r.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, rec := range b.Records {
					if here := all(t, s, rec.Offset); string(here[0].Value) != string(rec.Value) {
						t.Errorf("at %q, where %s was, is %s", rec.Offset, rec.Value, here[0].Value)
					}
					if n++; len(all(t, s, rec.Next)) != 2-n {
						t.Errorf("behind %q, which is record %d of 2, is %q", rec.Next, n, joined(all(t, s, rec.Next)))
					}
				}
			}
		}
	}
}

// What looks like white space, like the end of a line or like JSON in a text is text.
func TestTextIsKeptAsItIs(t *testing.T) {
	texts := []string{"  two before, two behind  ", "\u0085 and \u2028 end no line", "[1,2]", `["`, "{", "event: control\ndata: {}\n\n", ": no comment", "\n\n"}
	for name, opts := range map[string][]durablestreams.StreamOption{"long-poll": nil, "SSE": {durablestreams.SSE()}} {
		s := typed(t, "text/plain", nil, opts...)
		r, err := s.Raw().OpenReader(t.Context(), backend.Latest)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for _, want := range texts {
			put(t, s, "text/plain", want)
			for got := ""; got != want; {
				b, err := r.Read(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if got += joined(b.Records); !strings.HasPrefix(want, got) {
					t.Fatalf("%s: %q, want %q", name, got, want)
				}
			}
		}
		if got := joined(all(t, s.Raw(), backend.Earliest)); got != strings.Join(texts, "") {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestContentTypesAreComparedByTheirMediaType(t *testing.T) {
	for _, contentType := range []string{"application/json", "Application/JSON", "application/json;charset=utf-8", `application/json ; charset="utf-8"`} {
		s := typed(t, contentType, nil)
		p := numbers(t, s)
		if err := p.Send(t.Context(), 1, 2); err != nil {
			t.Fatal(err)
		}
		if got, _, errs := consumed(t, s); fmt.Sprint(got) != "[1 2]" || len(errs) > 0 {
			t.Errorf("%s: %v, %v", contentType, got, errs)
		}
	}
}

// A cursor and an offset are sent until there are newer ones, parameters in the order of their names.
func TestAnswerWithoutACursorKeepsTheCursor(t *testing.T) {
	var asked []string
	c, err := durablestreams.New("http://server", durablestreams.HTTP(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.RawQuery)
		resp := reply(r, "application/json", "[]", false)
		if len(asked) == 2 {
			resp.Header.Set("Stream-Cursor", "41")
		}
		if len(asked) > 1 {
			resp.StatusCode, resp.Body = http.StatusNoContent, http.NoBody
		}
		if len(asked) == 5 {
			resp.Header.Set("Stream-Closed", "tRuE")
		}
		return resp, nil
	})}), durablestreams.Query("zone", durablestreams.Static("&")), durablestreams.Query("a", durablestreams.Static("1")))
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Stream("s", durablestreams.LongPoll()).OpenReader(t.Context(), backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for err == nil {
		_, err = r.Read(t.Context())
	}
	want := []string{"a=1&offset=now&zone=%26", "a=1&live=long-poll&offset=5&zone=%26"}
	for range 3 {
		want = append(want, "a=1&cursor=41&live=long-poll&offset=5&zone=%26")
	}
	if fmt.Sprint(asked) != fmt.Sprint(want) || err != io.EOF {
		t.Errorf("%q, %v; want %q", asked, err, want)
	}
}

// A context bounds the call that it was given to, and is kept by nobody.
func TestContextOfAnOpeningIsNotKept(t *testing.T) {
	s := jsonStream(t, nil)
	put(t, s, "application/json", "1")
	ctx, cancel := context.WithCancel(t.Context())
	r, err := s.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	session, err := s.NewAppender(jsonFormat).Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	cancel()
	send(t, session, 0)
	recv(t, session, 0)
	for got := ""; got != "10"; {
		b, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got += joined(b.Records)
	}
}

// What has come of a response is delivered before the rest of it comes: it is held nowhere as a whole.
func TestResponseIsDeliveredAsItArrives(t *testing.T) {
	release := make(chan struct{})
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodGet {
			return false
		}
		w.Header()["Content-Type"], w.Header()["Stream-Next-Offset"] = []string{"application/json"}, []string{"9"}
		w.Header().Set("Stream-Closed", "true")
		part := strings.Repeat("1234567,", 100_000)
		_, _ = io.WriteString(w, "["+part)
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = io.WriteString(w, part+"1]")
		return true
	})
	r, err := s.OpenReader(t.Context(), backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := r.Read(t.Context())
	if err != nil || len(b.Records) == 0 || len(b.Records) > 256<<10/7 {
		t.Errorf("%d records, %v", len(b.Records), err)
	}
	close(release)
	n := len(b.Records)
	for err == nil {
		b, err = r.Read(t.Context())
		n += len(b.Records)
	}
	if n != 200_001 || err != io.EOF {
		t.Errorf("%d records, %v", n, err)
	}
}

// Servers answer an offset beyond their tail with nothing, and with the tail to go on from: what is stored next would be read
// as if nothing were missing.
func TestPlaceBeyondTheTailIsOutOfRange(t *testing.T) {
	longer, shorter := jsonStream(t, nil), jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if offset := r.URL.Query().Get("offset"); offset == "" || offset < "0000000000000000_0000000000000005" {
			return false
		}
		w.Header()["Content-Type"], w.Header()["Stream-Next-Offset"] = []string{"application/json"}, []string{"0000000000000000_0000000000000002"}
		w.Header().Set("Stream-Up-To-Date", "true")
		_, _ = io.WriteString(w, "[]")
		return true
	})
	put(t, longer, "application/json", "1", "2", "3")
	put(t, shorter, "application/json", "1")
	recs := all(t, longer, backend.Earliest)
	if _, err := shorter.OpenReader(t.Context(), recs[2].Next); !errors.Is(err, backend.ErrOutOfRange) {
		t.Errorf("from %q: %v", recs[2].Next, err)
	}
	// A place behind more messages than there are is found out by reading.
	r, err := shorter.OpenReader(t.Context(), "0000000000000000_0000000000000000/7")
	if err == nil {
		defer r.Close()
		_, err = r.Read(t.Context())
	}
	if !errors.Is(err, backend.ErrOutOfRange) {
		t.Error(err)
	}
}

// A token that has expired when a connection is made anew is asked for again, not sent again.
func TestReconnectsSendAFreshToken(t *testing.T) {
	t.Parallel() // the test mostly waits
	for _, mode := range []string{"sse", "long-poll"} {
		var made, seen, live atomic.Int64
		c, _ := serveVia(t, func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if n := seen.Add(1); r.Header.Get("Authorization") != fmt.Sprint("token ", n) || r.URL.Query().Get("tenant") != "a&b" {
					t.Errorf("%s %s: token %q, want %d", r.Method, r.URL, r.Header.Get("Authorization"), n)
				}
				if r.URL.Query().Get("live") == mode && live.Add(1) == 4 {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				h.ServeHTTP(w, r)
			})
		}, []durablestreams.Option{
			durablestreams.Header("Authorization", func(context.Context) (string, error) { return fmt.Sprint("token ", made.Add(1)), nil }),
			durablestreams.Query("tenant", durablestreams.Static("a&b")),
		}, durablestreamstest.LongPoll(time.Millisecond), durablestreamstest.Lifetime(1100*time.Millisecond))
		opt := durablestreams.SSE()
		if mode == "long-poll" {
			opt = durablestreams.LongPoll()
		}
		s := c.Stream("s", opt)
		if _, err := s.Create(t.Context(), "application/json"); err != nil {
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
		if !errors.Is(err, backend.ErrUnauthorized) || live.Load() != 4 || made.Load() != seen.Load() {
			t.Errorf("%s: %v, after %d connections", mode, err, live.Load())
		}
	}
}

// A stream deleted under a reader that waits is not found when it asks again, by whatever it waits.
func TestDeletedStreamEndsAReader(t *testing.T) {
	for name, opt := range map[string]durablestreams.StreamOption{"SSE": durablestreams.SSE(), "long-poll": durablestreams.LongPoll()} {
		s := jsonStream(t, nil, opt)
		r, err := s.OpenReader(t.Context(), backend.Earliest)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for n := 0; err == nil; n++ {
			if n == 1 {
				if err := s.Delete(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			_, err = r.Read(t.Context())
		}
		if !errors.Is(err, backend.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A body that is compressed though nobody asked for it is no data.
func TestCompressedBytesDoNotPassForData(t *testing.T) {
	s := typed(t, "text/plain", func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodGet {
			if r.Header.Get("Accept-Encoding") != "identity" {
				t.Errorf("asked for %q", r.Header.Get("Accept-Encoding"))
			}
			w.Header().Set("Content-Encoding", "gzip")
		}
		return false
	})
	if _, err := s.Raw().OpenReader(t.Context(), backend.Earliest); !isProtocolError(err) {
		t.Error(err)
	}
}
