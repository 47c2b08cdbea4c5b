package durablestreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

var jsonFormat = backend.Format{ContentType: "application/json"}

// a middle is asked before the server is; it returns whether it has answered itself.
type middle func(w http.ResponseWriter, r *http.Request, server http.Handler) bool

// jsonStream makes a JSON stream on a server behind m.
func jsonStream(t *testing.T, m middle, opts ...durablestreams.StreamOption) *durablestreams.Stream {
	t.Helper()
	c, _ := serveVia(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if m == nil || !m(w, r, h) {
				h.ServeHTTP(w, r)
			}
		})
	}, nil)
	s := c.Stream("s", opts...)
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	return s
}

func open(t *testing.T, a backend.Appender) backend.Session {
	t.Helper()
	s, err := a.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func one(i int) []backend.Record { return []backend.Record{{Value: fmt.Appendf(nil, "%d", i)}} }

func send(t *testing.T, s backend.Session, seqs ...int) {
	t.Helper()
	for _, seq := range seqs {
		if err := s.Send(t.Context(), uint64(seq), one(seq)); err != nil {
			t.Fatal(err)
		}
	}
}

func recv(t *testing.T, s backend.Session, seqs ...int) {
	t.Helper()
	for _, seq := range seqs {
		if ack, err := s.Recv(t.Context()); err != nil || ack.Seq != uint64(seq) {
			t.Fatalf("batch %d, %v; want %d", ack.Seq, err, seq)
		}
	}
}

// wantError checks what Recv says last: it is all of want and none of the other two facts.
func wantError(t *testing.T, s backend.Session, want ...error) {
	t.Helper()
	_, err := s.Recv(t.Context())
	for _, w := range want {
		if !errors.Is(err, w) {
			t.Fatalf("%v is not %v", err, w)
		}
	}
	for _, fact := range []error{backend.ErrTransient, backend.ErrIndeterminate} {
		wanted := false
		for _, w := range want {
			wanted = wanted || errors.Is(w, fact)
		}
		if errors.Is(err, fact) && !wanted {
			t.Fatalf("%v is also %v", err, fact)
		}
	}
}

// stored reads what the stream holds.
func stored(t *testing.T, s *durablestreams.Stream) string {
	t.Helper()
	r, err := s.OpenReader(t.Context(), backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var all []string
	for {
		b, err := r.Read(t.Context())
		if err != nil && err != io.EOF {
			t.Fatal(err)
		}
		for _, rec := range b.Records {
			all = append(all, string(rec.Value))
		}
		if b.CaughtUp || err == io.EOF {
			return strings.Join(all, " ")
		}
	}
}

func wantStored(t *testing.T, s *durablestreams.Stream, want string) {
	t.Helper()
	if got := stored(t, s); got != want {
		t.Fatalf("stored: %s, want %s", got, want)
	}
}

func post(r *http.Request, seq string) bool {
	return r.Method == http.MethodPost && r.Header.Get("Producer-Seq") == seq
}

func TestUnavailableIsNoSilence(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodPost || !down.Load() {
			return false
		}
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	a := s.NewAppender(jsonFormat)
	session := open(t, a)
	send(t, session, 0)
	_, err := session.Recv(t.Context())
	if !errors.Is(err, backend.ErrTransient) || backend.RetryAfter(err).Seconds() != 7 {
		t.Fatalf("%v, retry after %v", err, backend.RetryAfter(err))
	}
	session.Close()
	down.Store(false)
	session = open(t, a)
	send(t, session, 0, 1)
	recv(t, session, 0, 1)
	wantStored(t, s, "0 1")
}

func TestLostAnswerIsStoredOnce(t *testing.T) {
	var lost atomic.Bool
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) bool {
		if !post(r, "1") || lost.Swap(true) {
			return false
		}
		server.ServeHTTP(discarded{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	})
	a := s.NewAppender(jsonFormat)
	session := open(t, a)
	send(t, session, 0)
	recv(t, session, 0)
	send(t, session, 1)
	wantError(t, session, backend.ErrTransient, backend.ErrIndeterminate)
	session.Close()
	session = open(t, a)
	send(t, session, 1, 2)
	recv(t, session, 1, 2)
	wantStored(t, s, "0 1 2")
}

type discarded struct{ header http.Header }

func (d discarded) Header() http.Header         { return d.header }
func (d discarded) Write(p []byte) (int, error) { return len(p), nil }
func (d discarded) WriteHeader(int)             {}

func TestOvertakenRequestsAreSentAgain(t *testing.T) {
	gap := make(chan struct{})
	var once sync.Once
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, server http.Handler) bool {
		switch {
		case post(r, "1"):
			<-gap // until another one has come too early
		case post(r, "3"):
			server.ServeHTTP(w, r)
			once.Do(func() { close(gap) })
			return true
		}
		return false
	})
	session := open(t, s.NewAppender(jsonFormat))
	send(t, session, 0)
	recv(t, session, 0)
	send(t, session, 1, 2, 3, 4)
	recv(t, session, 1, 2, 3, 4)
	wantStored(t, s, "0 1 2 3 4")
}

func TestEpochIsClaimedOnceAndOnlyBeforeTheFirstBatch(t *testing.T) {
	const later = "8000000000000000"
	var epochs sync.Map
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if e := r.Header.Get("Producer-Epoch"); e != "" {
			epochs.Store(e, true)
		}
		return false
	}, durablestreams.ProducerID("id"))
	// Somebody with a clock far ahead was here.
	ahead := jsonAppend{t, s}
	ahead.post("id", later, "0", "[-1]")

	older := open(t, s.NewAppender(jsonFormat))
	send(t, older, 0)
	recv(t, older, 0)
	if _, ok := epochs.Load("8000000000000001"); !ok {
		t.Fatal("the epoch behind the one that was taken was not claimed")
	}
	newer := open(t, s.NewAppender(jsonFormat))
	send(t, newer, 0)
	recv(t, newer, 0)
	send(t, older, 1)
	wantError(t, older, backend.ErrFenced)
	wantStored(t, s, "-1 0 0")
}

// jsonAppend makes requests as another client would.
type jsonAppend struct {
	t *testing.T
	s *durablestreams.Stream
}

func (j jsonAppend) post(id, epoch, seq, body string) {
	j.t.Helper()
	req, err := http.NewRequestWithContext(j.t.Context(), http.MethodPost, j.s.URL(), strings.NewReader(body))
	if err != nil {
		j.t.Fatal(err)
	}
	req.Header = http.Header{"Content-Type": {"application/json"}, "Producer-Id": {id}, "Producer-Epoch": {epoch}, "Producer-Seq": {seq}}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil || resp.StatusCode != http.StatusOK {
		j.t.Fatal(resp, err)
	}
	resp.Body.Close()
}

func TestForeignSequenceIsNoAck(t *testing.T) {
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if !post(r, "1") {
			return false
		}
		w.Header().Set("Producer-Seq", "9")
		w.WriteHeader(http.StatusNoContent)
		return true
	})
	session := open(t, s.NewAppender(jsonFormat))
	send(t, session, 0, 1)
	recv(t, session, 0)
	wantError(t, session, backend.ErrFenced)
}

// A producer that begins another epoch after its first may find that somebody with the same id did so before it. The
// server takes its batch for a resend of the other's then, and nothing of it is stored.
func TestLaterEpochOfAnotherIsNoAck(t *testing.T) {
	var epoch atomic.Int64
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if !post(r, "1") {
			if e, err := strconv.ParseInt(r.Header.Get("Producer-Epoch"), 10, 64); err == nil {
				epoch.CompareAndSwap(0, e)
			}
			return false
		}
		w.WriteHeader(http.StatusBadRequest)
		return true
	}, durablestreams.ProducerID("id"))
	a := s.NewAppender(jsonFormat)
	session := open(t, a)
	send(t, session, 0)
	recv(t, session, 0)
	send(t, session, 1)
	wantError(t, session, backend.ErrRejected)
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	jsonAppend{t, s}.post("id", strconv.FormatInt(epoch.Load()+1, 10), "0", "[-1]")
	session = open(t, a)
	send(t, session, 1)
	wantError(t, session, backend.ErrFenced)
	wantStored(t, s, "0 -1")
}

func TestForgottenProducerGoesOnUnderANewEpoch(t *testing.T) {
	s := jsonStream(t, nil)
	a := s.NewAppender(jsonFormat)
	session := open(t, a)
	send(t, session, 0)
	recv(t, session, 0)
	if err := s.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	send(t, session, 1)
	wantError(t, session, backend.ErrIndeterminate)
	session.Close()
	session = open(t, a)
	send(t, session, 1, 2)
	recv(t, session, 1, 2)
	wantStored(t, s, "1 2")
}

// A typed producer over it all, with more batches than may be on their way at once.
func TestProducerFillsEveryPlaceInFlight(t *testing.T) {
	s := jsonStream(t, nil, durablestreams.InFlight(2))
	p, err := producer.New(t.Context(), s, codec.JSON[int](), producer.BatchRecords(3))
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for i := range 500 {
		if _, err := p.Enqueue(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		want = append(want, fmt.Sprint(i))
	}
	if err := p.Flush(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	wantStored(t, s, strings.Join(want, " "))
}
