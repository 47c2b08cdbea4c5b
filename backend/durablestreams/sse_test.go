package durablestreams_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// sseModes reads twenty appends at the tail of a server behind m and counts how the reader waited.
func sseModes(t *testing.T, m middle, opts ...durablestreams.StreamOption) (sse, poll int64) {
	t.Helper()
	var events, polls atomic.Int64
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, h http.Handler) bool {
		switch r.URL.Query().Get("live") {
		case "sse":
			events.Add(1)
			return m != nil && m(w, r, h)
		case "long-poll":
			polls.Add(1)
		}
		return false
	}, opts...)
	r, err := s.OpenReader(t.Context(), backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	session := open(t, s.NewAppender(jsonFormat))
	for i := range 20 {
		send(t, session, i)
		recv(t, session, i)
		for n := 0; n == 0; {
			b, err := r.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n = len(b.Records); n > 1 || n == 1 && string(b.Records[0].Value) != string(one(i)[0].Value) {
				t.Fatalf("%d records, want record %d", n, i)
			}
		}
	}
	return events.Load(), polls.Load()
}

func TestSSEIsOneResponse(t *testing.T) {
	for name, opts := range map[string][]durablestreams.StreamOption{"asked for": {durablestreams.SSE()}, "chosen": nil} {
		if sse, poll := sseModes(t, nil, opts...); sse != 1 || poll != 0 {
			t.Errorf("%s: %d SSE connections and %d long-polls", name, sse, poll)
		}
	}
	if sse, poll := sseModes(t, nil, durablestreams.LongPoll()); sse != 0 || poll < 20 {
		t.Errorf("long-poll asked for: %d SSE connections and %d long-polls", sse, poll)
	}
}

// What SSE would change or make longer is waited for by long-poll, unless SSE is asked for.
func TestReadersChooseByTheStream(t *testing.T) {
	for contentType, want := range map[string]string{"application/json": "sse", "application/octet-stream": "long-poll", "text/plain": "long-poll"} {
		var modes sync.Map
		s := typed(t, contentType, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if live := r.URL.Query().Get("live"); live != "" {
				modes.Store(live, true)
			}
			return false
		})
		r, err := s.Raw().OpenReader(t.Context(), backend.Latest)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		put(t, s, contentType, "1")
		for n := 0; n == 0; {
			b, err := r.Read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			n = len(b.Records)
		}
		modes.Range(func(live, _ any) bool {
			if live != want {
				t.Errorf("%s: by %s, want %s", contentType, live, want)
			}
			return true
		})
	}
}

func TestLongPollTakesOverWhereSSEDoesNotGetThrough(t *testing.T) {
	for name, m := range map[string]middle{
		"no event stream": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			w.Header().Set("Content-Type", "text/html")
			return true
		},
		"connections that end at once": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			w.Header().Set("Content-Type", "text/event-stream")
			return true
		},
		"a server without SSE": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) bool {
			w.WriteHeader(http.StatusNotImplemented)
			return true
		},
	} {
		for how, opts := range map[string][]durablestreams.StreamOption{"asked for": {durablestreams.SSE()}, "chosen": nil} {
			t.Run(name+", "+how, func(t *testing.T) {
				if sse, poll := sseModes(t, m, opts...); sse < 1 || sse > 3 || poll < 1 {
					t.Errorf("%d SSE connections and %d long-polls", sse, poll)
				}
			})
		}
	}
}

// roundTrip is a server without a network, so that time is a bubble's.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// held is a body that goes on for as long as its request.
type held struct {
	io.Reader
	ctx context.Context
}

func (h held) Read(p []byte) (int, error) {
	if n, err := h.Reader.Read(p); n > 0 || err != io.EOF {
		return n, err
	}
	<-h.ctx.Done()
	return 0, h.ctx.Err()
}

func (held) Close() error { return nil }

// reply makes a response to r; a body that is held stays open behind what is given.
func reply(r *http.Request, contentType, body string, hold bool) *http.Response {
	resp := &http.Response{StatusCode: http.StatusOK, Request: r, ContentLength: -1, Header: http.Header{}}
	resp.Header.Set("Content-Type", contentType)
	resp.Header.Set("Stream-Next-Offset", "5")
	resp.Header.Set("Stream-Up-To-Date", "true")
	resp.Body = io.NopCloser(strings.NewReader(body))
	if hold {
		resp.Body = held{strings.NewReader(body), r.Context()}
	}
	return resp
}

// silent reads the first two batches of a stream whose SSE connections bring events and then nothing more, ever.
func silent(t *testing.T, events string) (asked []string, took time.Duration) {
	t.Helper()
	client, err := durablestreams.New("http://server", durablestreams.HTTP(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		asked = append(asked, r.URL.RawQuery)
		switch live := r.URL.Query().Get("live"); {
		case live == "sse" && len(asked) == 2:
			return reply(r, "text/event-stream", events, true), nil
		case live == "sse":
			return reply(r, "text/event-stream", "event: data\rdata: [1]\r\revent: control\rdata: {\"streamNextOffset\":\"7\"}\r\r", true), nil
		case live == "long-poll":
			answer := reply(r, "application/json", "[1]", false)
			answer.Header.Set("Stream-Next-Offset", "7")
			return answer, nil
		}
		return reply(r, "application/json", "[]", false), nil
	})}))
	if err != nil {
		t.Fatal(err)
	}
	from := time.Now()
	r, err := client.Stream("s").OpenReader(t.Context(), backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for n := 0; n == 0; {
		b, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		n = len(b.Records)
	}
	return asked, time.Since(from)
}

// A proxy that collects a response before it passes it on would never pass on this one.
func TestLongPollTakesOverWhereEventsAreHeldBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, took := silent(t, "")
		if took != 10*time.Second || len(asked) != 3 || !strings.Contains(asked[2], "live=long-poll") {
			t.Errorf("%q, after %v", asked, took)
		}
	})
}

// A connection that has brought events and is silent for longer than any server keeps it is dead: the reader asks anew from
// where the last control event was, and data behind that is dropped.
func TestSilentEventsAreAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, took := silent(t, "event: control\ndata: {\"streamNextOffset\":\"6\",\"streamCursor\":\"77\"}\n\nevent: data\ndata: [0]\n\n")
		if took != 2*time.Minute || len(asked) != 3 || asked[2] != "cursor=77&live=sse&offset=6" {
			t.Errorf("%q, after %v", asked, took)
		}
	})
}

// An event may be larger than what is held of one: it is read like any other response then, and SSE goes on behind it.
func TestEventTooLargeToHoldIsReadInPieces(t *testing.T) {
	big := strings.Repeat(`"0123456789",`, 500_000)
	var sse, again atomic.Int64
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		switch q := r.URL.Query(); {
		case q.Get("live") == "sse" && sse.Add(1) == 1:
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprintf(w, "event: data\ndata:[%s]\n\nevent: control\ndata:{\"streamNextOffset\":\"9\"}\n\n", big[:len(big)-1])
		case q.Get("live") == "sse":
			w.Header().Set("Content-Type", "text/event-stream")
			fmt.Fprint(w, "event: control\ndata:{\"streamNextOffset\":\"9\",\"streamClosed\":true}\n\n")
		case q.Get("offset") == "5":
			again.Add(1)
			w.Header()["Stream-Next-Offset"], w.Header()["Content-Type"] = []string{"9"}, []string{"application/json"}
			w.Header().Set("Stream-Up-To-Date", "true")
			fmt.Fprintf(w, "[%s]", big[:len(big)-1])
		case r.Method == http.MethodGet:
			w.Header()["Stream-Next-Offset"], w.Header()["Content-Type"] = []string{"5"}, []string{"application/json"}
			w.Header().Set("Stream-Up-To-Date", "true")
			fmt.Fprint(w, "[]")
		default:
			return false
		}
		return true
	})
	r, err := s.OpenReader(t.Context(), backend.Latest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	n := 0
	for err == nil {
		var b backend.Batch
		b, err = r.Read(t.Context())
		n += len(b.Records)
	}
	if err != io.EOF || n != 500_000 || again.Load() != 1 || sse.Load() != 2 {
		t.Errorf("%d records and %v, over %d SSE connections and %d other", n, err, sse.Load(), again.Load())
	}
}

// Who only wants what there is does not wait for more, by whatever it would wait.
func TestCatchingUpWaitsForNothing(t *testing.T) {
	for _, contentType := range []string{"application/json", "application/octet-stream"} {
		var live atomic.Int64
		s := typed(t, contentType, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if r.URL.Query().Get("live") != "" {
				live.Add(1)
			}
			return false
		})
		session := open(t, s.NewAppender(backend.Format{ContentType: contentType}))
		for i := range 300 { // more than one response holds
			send(t, session, i)
			recv(t, session, i)
		}
		if got, _, errs := consumed(t, s); len(got) != 300 || len(errs) > 0 || live.Load() > 0 {
			t.Errorf("%s: %d records, %v, and %d requests that wait", contentType, len(got), errs, live.Load())
		}
	}
}
