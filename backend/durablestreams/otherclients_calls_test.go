package durablestreams_test

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// Everything that may be done twice is tried again, and what may not, only where it was refused.
func TestEverySafeCallIsTriedAgain(t *testing.T) {
	t.Parallel() // the test mostly waits
	var status, left, calls atomic.Int64
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		calls.Add(1)
		if left.Add(-1) < 0 {
			return false
		}
		if status.Load() == 0 {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(int(status.Load()))
		return true
	})
	ctx := t.Context()
	head := func() error { _, err := s.Head(ctx); return err }
	create := func() error { _, err := s.Create(ctx, "application/json"); return err }
	put := func() error { _, err := s.Append(ctx, "application/json", []byte("1")); return err }
	known := func() error {
		_, err := s.Append(ctx, "application/json", []byte("2"), durablestreams.Identity("w", 0, 0))
		return err
	}
	end := func() error { return s.Seal(ctx) }
	last := func() error { _, err := s.SealWith(ctx, "application/json", []byte("3")); return err }
	remove := func() error { return s.Delete(ctx) }
	for _, step := range []struct {
		name         string
		code, broken int64
		call         func() error
		tries        int64
		want         error
	}{
		{"head, 500", 500, 2, head, 3, nil},
		{"head, cut", 0, 1, head, 2, nil},
		{"head, for ever", 500, 99, head, 5, backend.ErrTransient},
		{"head, 404", 404, 1, head, 1, backend.ErrNotFound},
		{"create, 503", 503, 2, create, 3, nil},
		{"create, cut", 0, 1, create, 2, nil},
		{"append, refused", 429, 1, put, 2, nil},
		{"append, 400", 400, 1, put, 1, backend.ErrRejected},
		{"append, 503: it may be stored", 503, 1, put, 1, backend.ErrIndeterminate},
		{"append, cut: it may be stored", 0, 1, put, 1, backend.ErrIndeterminate},
		{"append with an identity, 503", 503, 2, known, 3, nil},
		{"close with data, cut", 0, 1, last, 2, nil},
		{"close, 503", 503, 1, end, 2, nil},
		{"delete, 503", 503, 2, remove, 3, nil},
	} {
		status.Store(step.code)
		left.Store(step.broken)
		calls.Store(0)
		if step.name == "delete, 503" {
			left.Store(0)
			wantStored(t, s, "1 2 3")
			left.Store(step.broken)
			calls.Store(0)
		}
		err := step.call()
		left.Store(0)
		if calls.Load() != step.tries || !errors.Is(err, step.want) || (err == nil) != (step.want == nil) {
			t.Errorf("%s: %d tries, %v; want %d, %v", step.name, calls.Load(), err, step.tries, step.want)
		}
	}
}

func TestWrongContentTypeIsToldFromASequenceConflict(t *testing.T) {
	s := typed(t, "text/plain", nil)
	_, err := producer.New(t.Context(), s, codec.JSON[int]())
	if !errors.Is(err, backend.ErrRejected) || errors.Is(err, durablestreams.ErrSequence) || !strings.Contains(err.Error(), `content type "text/plain"`) {
		t.Error(err)
	}
}

// One caller that gives up takes nothing from the others, nor from itself: what was accepted is on its way.
func TestCancelledCallerDoesNotFailTheBatch(t *testing.T) {
	release := make(chan struct{})
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodPost {
			<-release
		}
		return false
	})
	p := numbers(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	var receipts [2]producer.Receipt
	for i, ctx := range []context.Context{t.Context(), ctx} {
		var err error
		if receipts[i], err = p.Enqueue(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if _, err := receipts[1].Wait(ctx); err != context.Canceled {
		t.Errorf("the caller that gave up: %v", err)
	}
	close(release)
	for i := range receipts {
		if _, err := receipts[i].Wait(t.Context()); err != nil {
			t.Errorf("caller %d: %v", i, err)
		}
	}
	wantStored(t, s, "0 1")
}

// Each ack says where the stream goes on, which is a place to read from.
func TestResultsCarryOffsets(t *testing.T) {
	s := jsonStream(t, nil)
	session := open(t, s.NewAppender(jsonFormat))
	for i := range 3 {
		send(t, session, i)
		ack, err := session.Recv(t.Context())
		if err != nil || ack.Next == "" {
			t.Fatalf("%+v, %v", ack, err)
		}
		put(t, s, "application/json", strconv.Itoa(100+i))
		if rest := all(t, s, ack.Next); string(rest[0].Value) != strconv.Itoa(100+i) {
			t.Errorf("behind the ack %q: %s", ack.Next, rest[0].Value)
		}
	}
	info, err := s.Append(t.Context(), "application/json", []byte("1"))
	if head, herr := s.Head(t.Context()); err != nil || herr != nil || info.Next == "" || head.Next != info.Next {
		t.Errorf("%+v, %v, and the head %+v, %v", info, err, head, herr)
	}
}

func TestTTLsAreRoundedUpToSeconds(t *testing.T) {
	s := typed(t, "text/plain", nil)
	for ttl, want := range map[time.Duration]time.Duration{1: time.Second, time.Second: time.Second, 10*365*24*time.Hour + 1: 10*365*24*time.Hour + time.Second} {
		if err := s.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Create(t.Context(), "text/plain", durablestreams.TTL(ttl)); err != nil {
			t.Fatal(err)
		}
		if info, err := s.Head(t.Context()); err != nil || info.TTL != want {
			t.Errorf("%v: %v, %v", ttl, info.TTL, err)
		}
	}
}

// Batches behind the first are held back until the server has accepted the epoch: had they been sent under an epoch that is
// taken, their sequences would be wrong.
func TestSequencesAreReservedAfterTheEpoch(t *testing.T) {
	release := make(chan struct{})
	var posts atomic.Int64
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodPost && r.Header.Get("Producer-Id") == "id" {
			posts.Add(1)
			<-release
		}
		return false
	}, durablestreams.ProducerID("id"))
	put(t, s, "application/json", "[-1]")
	session := open(t, s.NewAppender(jsonFormat))
	send(t, session, 0)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := session.Send(ctx, 1, one(1)); !errors.Is(err, context.DeadlineExceeded) || posts.Load() > 1 {
		t.Errorf("%v, after %d requests", err, posts.Load())
	}
	close(release)
	recv(t, session, 0)
	wantStored(t, s, "-1 0")
}

// The reference server's answer to a batch that it has already does not say where the stream goes on.
func TestDuplicateWithoutAnOffsetIsAnAck(t *testing.T) {
	c, _ := serveVia(t, func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if post(r, "0") {
				h.ServeHTTP(discarded{http.Header{}}, r)
				w.Header().Set("Producer-Epoch", r.Header.Get("Producer-Epoch"))
				w.Header().Set("Producer-Seq", "0")
				w.WriteHeader(http.StatusNoContent)
				return
			}
			h.ServeHTTP(w, r)
		})
	}, nil, durablestreamstest.LongPoll(time.Millisecond))
	s := c.Stream("s")
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	session := open(t, s.NewAppender(jsonFormat))
	send(t, session, 0)
	if ack, err := session.Recv(t.Context()); err != nil || ack.Next != "" {
		t.Errorf("%+v, %v", ack, err)
	}
	wantStored(t, s, "0")
}

// A token read with the end of its line, or an id that no header can hold, would be refused by the transport as if the network
// had failed, and be tried for ever.
func TestUnsendableHeaderIsRefused(t *testing.T) {
	s := jsonStream(t, nil, durablestreams.ProducerID("a\nb"))
	if _, err := s.NewAppender(jsonFormat).Open(t.Context()); !errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTransient) {
		t.Errorf("producer id: %v", err)
	}
	c, err := durablestreams.New("http://127.0.0.1:1", durablestreams.Header("Authorization", durablestreams.Static("Bearer secret\n")))
	if err != nil {
		t.Fatal(err)
	}
	_, opened := c.Stream("s").NewAppender(jsonFormat).Open(t.Context())
	_, read := c.Stream("s").OpenReader(t.Context(), backend.Earliest)
	_, called := c.Stream("s").Head(t.Context())
	for name, err := range map[string]error{"open": opened, "read": read, "head": called} {
		if !errors.Is(err, backend.ErrUnauthorized) || errors.Is(err, backend.ErrTransient) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"", "a b", "ä", "a:"} {
		if _, err := durablestreams.New("http://127.0.0.1:1", durablestreams.Header(name, durablestreams.Static("x"))); err == nil {
			t.Errorf("a header named %q", name)
		}
	}
}

// Servers there are that ignore a body whose length they are not told.
func TestBodiesAreSentWithTheirLength(t *testing.T) {
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.ContentLength < 0 || len(r.TransferEncoding) > 0 {
			t.Errorf("%s: a body of length %d, %v", r.Method, r.ContentLength, r.TransferEncoding)
		}
		return false
	})
	if err := s.Delete(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "application/json", durablestreams.Initial([]byte("[1]"))); err != nil {
		t.Fatal(err)
	}
	put(t, s, "application/json", "2")
	if err := numbers(t, s).Send(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if _, err := s.SealWith(t.Context(), "application/json", []byte("4")); err != nil {
		t.Fatal(err)
	}
	wantStored(t, s, "1 2 3 4")
}

// A reader that waits is closed by somebody else: Read ends at once and says so, and the request ends with it.
func TestClosingAReaderBesideReadIsSafe(t *testing.T) {
	for mode, opt := range map[string]durablestreams.StreamOption{"sse": durablestreams.SSE(), "long-poll": durablestreams.LongPoll()} {
		waits, left := make(chan struct{}, 1), make(chan struct{}, 1)
		s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
			if r.URL.Query().Get("live") != mode {
				return false
			}
			if mode == "sse" {
				w.Header().Set("Content-Type", "text/event-stream")
				_ = http.NewResponseController(w).Flush()
			}
			waits <- struct{}{}
			<-r.Context().Done()
			left <- struct{}{}
			return true
		}, opt)
		r, err := s.OpenReader(t.Context(), backend.Latest)
		if err != nil {
			t.Fatal(err)
		}
		ended := make(chan error)
		go func() {
			for {
				if _, err := r.Read(t.Context()); err != nil {
					ended <- err
					return
				}
			}
		}()
		<-waits
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if err := <-ended; !errors.Is(err, backend.ErrClosed) || errors.Is(err, backend.ErrTransient) {
			t.Errorf("%s: %v", mode, err)
		}
		<-left
		if _, err := r.Read(t.Context()); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("%s, once more: %v", mode, err)
		}
	}
}
