package durablestreams_test

import (
	"errors"
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
