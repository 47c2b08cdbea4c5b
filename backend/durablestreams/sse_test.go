package durablestreams_test

import (
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

// sseModes reads twenty appends at the tail of a server behind m and counts how the reader waited.
func sseModes(t *testing.T, m middle) (sse, poll int64) {
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
	}, durablestreams.SSE())
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
	if sse, poll := sseModes(t, nil); sse != 1 || poll != 0 {
		t.Errorf("%d SSE connections and %d long-polls", sse, poll)
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
	} {
		t.Run(name, func(t *testing.T) {
			if sse, poll := sseModes(t, m); sse < 1 || sse > 3 || poll < 1 {
				t.Errorf("%d SSE connections and %d long-polls", sse, poll)
			}
		})
	}
}

// What several data events hold before one control event is put together, comments and unknown events are passed over.
func TestSeveralDataEventsBeforeOneControl(t *testing.T) {
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.URL.Query().Get("live") != "sse" {
			return false
		}
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = w.Write([]byte(": hello\r\nevent: data\r\ndata: [1,\r\ndata:2]\r\n\r\nevent: other\ndata: x\n\nevent: data\ndata:[3]\n\n" +
			"event: control\ndata: {\"streamNextOffset\":\"9\",\"streamClosed\":true}\n\n"))
		return true
	}, durablestreams.SSE())
	ctx := t.Context()
	r, err := s.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got := ""
	deadline := time.Now().Add(time.Minute)
	for err == nil && time.Now().Before(deadline) {
		var b backend.Batch
		b, err = r.Read(ctx)
		for _, rec := range b.Records {
			got += string(rec.Value)
		}
	}
	if got != "123" {
		t.Errorf("%s, %v", got, err)
	}
}
