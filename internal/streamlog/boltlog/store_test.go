package boltlog

import (
	"errors"
	"fmt"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// What a Write promises holds for both stores.
func TestStores(t *testing.T) {
	for name, make := range map[string]func(t *testing.T) streamlog.Store{
		"memory": func(*testing.T) streamlog.Store { return streamlog.NewMemory() },
		"bolt":   func(t *testing.T) streamlog.Store { return open(t, tempPath(t)).Store("s") },
	} {
		t.Run(name, func(t *testing.T) { testStore(t, make(t)) })
	}
}

func testStore(t *testing.T, s streamlog.Store) {
	commit := func(w *streamlog.Write) (uint64, error) { return streamlog.Commit(ctx, s, w) }
	wantState := func(want streamlog.State) {
		t.Helper()
		got := s.Board().State()
		want.Incarnation = got.Incarnation // which is random
		if got != want || got.Incarnation == "" {
			t.Fatalf("state %+v, want %+v", got, want)
		}
	}

	// Records and content type in one step.
	first, err := commit(&streamlog.Write{
		Records:     []backend.Record{{Value: []byte("0")}, {Value: []byte("1")}},
		ContentType: "text/plain",
	})
	if err != nil || first != 0 {
		t.Fatal(first, err)
	}
	wantState(streamlog.State{Tail: 2, ContentType: "text/plain"})

	// What is refused leaves nothing of itself.
	_, err = commit(&streamlog.Write{
		Records:     []backend.Record{{Value: []byte("no")}},
		ContentType: "text/html",
		Trim:        1,
	})
	if !errors.Is(err, backend.ErrRejected) {
		t.Fatalf("another content type: %v", err)
	}
	wantState(streamlog.State{Tail: 2, ContentType: "text/plain"})

	// What is dropped is not heard of again.
	s.Commit(&streamlog.Write{
		Records: []backend.Record{{Value: []byte("no")}},
		Begin:   func() bool { return false },
		Done:    func(uint64, error) { t.Error("a dropped write was told what became of it") },
	})

	// A trim alone.
	if _, err := commit(&streamlog.Write{Trim: 1}); err != nil {
		t.Fatal(err)
	}
	wantState(streamlog.State{Head: 1, Tail: 2, ContentType: "text/plain"})
	if recs, _, err := s.Read(0, streamlog.ReadLimit{Below: 2, Records: 10, Bytes: 10}); len(recs) != 0 || err != nil {
		t.Fatalf("what was trimmed is read: %v, %v", recs, err)
	}

	// The last records and the end in one step; behind it only what stores no records.
	first, err = commit(&streamlog.Write{Records: []backend.Record{{Value: []byte("2")}}, Close: true})
	if err != nil || first != 2 {
		t.Fatal(first, err)
	}
	closed := streamlog.State{Head: 1, Tail: 3, ContentType: "text/plain", Closed: true}
	wantState(closed)
	_, err = commit(&streamlog.Write{Records: []backend.Record{{Value: []byte("3")}}})
	if !errors.Is(err, backend.ErrStreamClosed) {
		t.Fatalf("behind the end: %v", err)
	}
	wantState(closed)
	if _, err := commit(&streamlog.Write{Trim: 99, Close: true}); err != nil {
		t.Fatal(err)
	}
	wantState(streamlog.State{Head: 3, Tail: 3, ContentType: "text/plain", Closed: true})
}

// A wait on the board misses no change, and one commit ends the wait.
func TestBoardWakesOnce(t *testing.T) {
	s := open(t, tempPath(t)).Store("s")
	for i := range uint64(20) {
		woken := make(chan struct{})
		if !s.Board().Await(&streamlog.Waiter{Next: i, Wake: func() { close(woken) }}) {
			t.Fatalf("record %d is there already", i)
		}
		s.Commit(&streamlog.Write{Records: one(fmt.Sprint(i)), Done: func(uint64, error) {}})
		<-woken
	}
}
