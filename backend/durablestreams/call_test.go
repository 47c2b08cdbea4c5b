package durablestreams_test

import (
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
)

func TestOperations(t *testing.T) {
	ctx := t.Context()
	c, _ := serve(t)
	s := c.Stream("a b/c?d")
	if _, err := s.Head(ctx); !errors.Is(err, backend.ErrNotFound) {
		t.Fatal(err)
	}
	initial := durablestreams.Initial([]byte(`[1,[2]]`))
	for range 2 { // the second one appends nothing
		if _, err := s.Create(ctx, "application/json", initial, durablestreams.TTL(time.Hour+time.Nanosecond)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Create(ctx, "text/plain"); !errors.Is(err, durablestreams.ErrExists) || !errors.Is(err, backend.ErrConflict) {
		t.Fatal(err)
	}
	if _, err := s.Append(ctx, "application/json", []byte(`3`)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Append(ctx, "text/plain", []byte(`3`)); !errors.Is(err, durablestreams.ErrSequence) {
		t.Fatal(err)
	}
	if _, err := s.Append(ctx, "application/json", []byte(`{`)); !errors.Is(err, backend.ErrRejected) {
		t.Fatal(err)
	}
	wantStored(t, s, "1 [2] 3")
	info, err := s.Head(ctx)
	if err != nil || info.TTL != time.Hour+time.Second || info.ContentType != "application/json" || info.Closed || info.Next == "" {
		t.Fatalf("%+v, %v", info, err)
	}
	fork := c.Stream("fork")
	if _, err := fork.Create(ctx, "", durablestreams.ForkOf(s, "")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if info, err := s.Close(ctx); err != nil || !info.Closed {
			t.Fatalf("%+v, %v", info, err)
		}
	}
	if _, err := s.Append(ctx, "application/json", []byte(`4`)); !errors.Is(err, backend.ErrStreamClosed) {
		t.Fatal(err)
	}
	if _, err := fork.Append(ctx, "application/json", []byte(`4`)); err != nil {
		t.Fatal(err)
	}
	wantStored(t, fork, "1 [2] 3 4")
	if err := s.Delete(ctx); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(ctx); !errors.Is(err, durablestreams.ErrGone) || !errors.Is(err, backend.ErrNotFound) {
		t.Fatal(err)
	}
	if _, err := s.Create(ctx, "text/plain", durablestreams.TTL(-1)); !errors.Is(err, backend.ErrRejected) {
		t.Fatal(err)
	}
}

// An append without a producer is sent again where it was refused, and not where it may be stored.
func TestOperationsAreTriedAgain(t *testing.T) {
	var status, left, calls atomic.Int64
	s := jsonStream(t, func(w http.ResponseWriter, r *http.Request, _ http.Handler) bool {
		calls.Add(1)
		if left.Add(-1) < 0 {
			return false
		}
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(int(status.Load()))
		return true
	})
	try := func(code, times int64, f func() error) (int64, error) {
		status.Store(code)
		left.Store(times)
		calls.Store(0)
		err := f()
		left.Store(0)
		return calls.Load(), err
	}
	head := func() error { _, err := s.Head(t.Context()); return err }
	put := func() error { _, err := s.Append(t.Context(), "application/json", []byte("1")); return err }
	if n, err := try(500, 2, head); n != 3 || err != nil {
		t.Errorf("head: %d tries, %v", n, err)
	}
	if n, err := try(429, 1, put); n != 2 || err != nil {
		t.Errorf("append, refused: %d tries, %v", n, err)
	}
	if n, err := try(503, 1, put); n != 1 || !errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("append, unknown: %d tries, %v", n, err)
	}
	if n, err := try(500, 99, head); n != 5 || !errors.Is(err, backend.ErrTransient) {
		t.Errorf("head, for ever: %d tries, %v", n, err)
	}
	wantStored(t, s, "1")
}
