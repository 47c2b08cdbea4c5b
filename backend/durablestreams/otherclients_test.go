package durablestreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// These are the defects that clients of the protocol have had: here those of producers, in the two files beside this one
// those of the other operations and of readers. None of them may be here.

// numbers makes a producer of numbers that does not linger.
func numbers(t *testing.T, s backend.Sink, opts ...producer.Option) *producer.Producer[int] {
	t.Helper()
	p, err := producer.New(t.Context(), s, codec.JSON[int](), append([]producer.Option{producer.Linger(0)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func TestFailureBurnsNoSequenceAndFlushReportsIt(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]http.HandlerFunc{
		"503":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"429":         func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) },
		"cut":         func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"retry after": func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "1"); w.WriteHeader(500) },
	} {
		t.Run(name, func(t *testing.T) {
			var posts atomic.Int64
			s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
				if r.Method != http.MethodPost || posts.Add(1) != 2 {
					return false
				}
				fail(w, r)
				return true
			})
			p, want := numbers(t, s, producer.BatchRecords(1)), []string{}
			for i := range 20 {
				if _, err := p.Enqueue(t.Context(), i); err != nil {
					t.Fatal(err)
				}
				want = append(want, strconv.Itoa(i))
			}
			if err := p.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := p.Stats().Resent; n == 0 {
				t.Error("nothing was sent again")
			}
			wantStored(t, s, strings.Join(want, " "))
		})
	}
}

// What cannot be tried again is the error of everything that was waiting and of everything that comes later.
func TestFatalErrorReachesTheCaller(t *testing.T) {
	var down atomic.Bool
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if down.Load() && r.Method == http.MethodPost {
			w.WriteHeader(http.StatusUnauthorized)
		}
		return down.Load() && r.Method == http.MethodPost
	})
	p := numbers(t, s)
	if err := p.Send(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	down.Store(true)
	receipt, err := p.Enqueue(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	_, waited := receipt.Wait(t.Context())
	flushed := p.Flush(t.Context())
	_, enqueued := p.Enqueue(t.Context(), 2)
	var status *durablestreams.Error
	for name, err := range map[string]error{"Wait": waited, "Flush": flushed, "Enqueue": enqueued, "Close": p.Close()} {
		if !errors.Is(err, backend.ErrUnauthorized) || !errors.As(err, &status) || status.Status != http.StatusUnauthorized {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantStored(t, s, "0")
}

func TestClosedStreamIsToldFromAGap(t *testing.T) {
	for _, before := range []int{0, 40} {
		s := jsonStream(t, nil)
		session := open(t, s.NewAppender(jsonFormat))
		for i := range before {
			send(t, session, i)
			recv(t, session, i)
		}
		if err := s.Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		send(t, session, before)
		wantError(t, session, backend.ErrStreamClosed)
	}
}

func TestFlushEndsOnAClosedStream(t *testing.T) {
	s := jsonStream(t, nil)
	p := numbers(t, s, producer.BatchRecords(1))
	for i := range 40 {
		if err := p.Send(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Enqueue(t.Context(), 40); err != nil {
		t.Fatal(err)
	}
	if err := p.Flush(t.Context()); !errors.Is(err, backend.ErrStreamClosed) {
		t.Errorf("%v, want ErrStreamClosed", err)
	}
}

// With all places in flight taken when its time has come, a batch goes out when one is free, without another call.
func TestBatchWhoseLingerEndsWhileAllIsInFlightIsSent(t *testing.T) {
	release, came := make(chan struct{}), make(chan string, 10)
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodPost {
			came <- r.Header.Get("Producer-Seq")
			<-release
		}
		return false
	}, durablestreams.InFlight(1))
	p := numbers(t, s, producer.Linger(time.Millisecond))
	for i := range 2 { // the second lingers while the first is in flight
		if _, err := p.Enqueue(t.Context(), i); err != nil {
			t.Fatal(err)
		}
		if i == 0 && <-came != "0" {
			t.Fatal("the first batch is not the first")
		}
	}
	lingered := time.NewTimer(50 * time.Millisecond)
	select {
	case seq := <-came:
		t.Fatalf("batch %s beside the first", seq)
	case <-lingered.C:
	}
	close(release)
	if seq := <-came; seq != "1" {
		t.Errorf("batch %s behind the first", seq)
	}
}

func TestWriterIsHeldBackAndBatchesAreBounded(t *testing.T) {
	const limit = 10_000
	var largest atomic.Int64
	release := make(chan struct{})
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodPost {
			<-release
			for n := largest.Load(); r.ContentLength > n && !largest.CompareAndSwap(n, r.ContentLength); n = largest.Load() {
			}
		}
		return false
	}, durablestreams.BatchBytes(limit))
	p, err := producer.New(t.Context(), s, codec.JSON[string](), producer.BatchRecords(100_000), producer.BufferBytes(100_000),
		producer.Linger(time.Hour)) // only a full batch goes, at any speed
	if err != nil {
		t.Fatal(err)
	}
	value, taken := strings.Repeat("x", 100), 0
	for ; err == nil; taken++ {
		_, err = p.TryEnqueue(value)
	}
	if !errors.Is(err, producer.ErrFull) || taken > 1000 {
		t.Fatalf("%v, after %d records", err, taken)
	}
	if _, err := p.Enqueue(t.Context(), strings.Repeat("x", limit)); !errors.Is(err, backend.ErrTooLarge) {
		t.Errorf("a record that no batch can hold: %v", err)
	}
	close(release)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if n := largest.Load(); n > limit+1 || n < limit/2 {
		t.Errorf("the largest batch has %d bytes, the limit is %d", n, limit)
	}
	if n := len(strings.Fields(stored(t, s))); n != taken-1 {
		t.Errorf("%d records are stored, %d were taken", n, taken-1)
	}
}

// A server whose limit is lower than what the client knows of refuses a batch: it comes in smaller ones, and nothing is lost.
func TestBatchThatIsTooLargeIsHalved(t *testing.T) {
	c, _ := serveVia(t, func(h http.Handler) http.Handler { return h }, nil, durablestreamstest.AppendBytes(2000))
	s := c.Stream("s")
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	p, want := numbers(t, s, producer.BatchRecords(10_000), producer.Linger(time.Hour)), 3000
	for i := range want {
		if _, err := p.Enqueue(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got, _, errs := consumed(t, s); len(errs) > 0 || len(got) != want || !slices.IsSorted(got) {
		t.Errorf("%d records, want %d in order, %v", len(got), want, errs)
	}
	if _, err := s.Append(t.Context(), "application/json", make([]byte, 3000)); !errors.Is(err, backend.ErrTooLarge) {
		t.Errorf("an append of 3000 bytes: %v", err)
	}
}

func TestFlushBesideEnqueueIsSafe(t *testing.T) {
	s := jsonStream(t, nil)
	p := numbers(t, s, producer.BatchRecords(10))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 500 {
				if _, err := p.Enqueue(t.Context(), i); err != nil {
					t.Error(err)
				}
				if i%10 == 0 {
					if err := p.Flush(t.Context()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if n := len(strings.Fields(stored(t, s))); n != 2000 {
		t.Errorf("%d records, want 2000", n)
	}
}

func TestCallersBytesAreNotReadAfterTheCall(t *testing.T) {
	release := make(chan struct{})
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method == http.MethodPost {
			<-release
		}
		return false
	})
	session := open(t, s.NewAppender(jsonFormat))
	value := []byte("123")
	if err := session.Send(t.Context(), 0, []backend.Record{{Value: value}}); err != nil {
		t.Fatal(err)
	}
	copy(value, "999")
	close(release)
	recv(t, session, 0)
	wantStored(t, s, "123")
}

// Also that a producer's requests go without a content type.
func TestProducersRequestsHaveTheClientsHeaders(t *testing.T) {
	var made, seen atomic.Int64
	s := typed(t, "application/json", nil)
	c, err := durablestreams.New(strings.TrimSuffix(s.URL(), "/s"),
		durablestreams.Header("Authorization", func(context.Context) (string, error) { return fmt.Sprint("token ", made.Add(1)), nil }),
		durablestreams.Query("tenant", durablestreams.Static("a&b")),
		durablestreams.HTTP(&http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			if got := r.Header.Get("Authorization"); got != fmt.Sprint("token ", seen.Add(1)) || r.URL.Query().Get("tenant") != "a&b" {
				t.Errorf("%s %s: %q", r.Method, r.URL, got)
			}
			if r.Method == http.MethodPost && r.Header.Get("Content-Type") != "application/json" {
				t.Errorf("content type %q", r.Header.Get("Content-Type"))
			}
			return http.DefaultTransport.RoundTrip(r)
		})}))
	if err != nil {
		t.Fatal(err)
	}
	defer http.DefaultClient.CloseIdleConnections()
	p := numbers(t, c.Stream("s"), producer.BatchRecords(1))
	for i := range 20 {
		if err := p.Send(t.Context(), i); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil || seen.Load() < 21 {
		t.Errorf("%d requests, %v", seen.Load(), err)
	}
}

func TestRequestsInFlightCanBeEnded(t *testing.T) {
	came, left := make(chan struct{}), make(chan struct{})
	s := jsonStream(t, func(_ http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		if r.Method != http.MethodPost {
			return false
		}
		_, _ = io.Copy(io.Discard, r.Body)
		close(came)
		<-r.Context().Done()
		close(left)
		return true
	})
	session := open(t, s.NewAppender(jsonFormat))
	send(t, session, 0)
	<-came
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
	<-left
	wantError(t, session, backend.ErrClosed)
}
