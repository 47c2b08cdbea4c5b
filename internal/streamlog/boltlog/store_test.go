package boltlog

import (
	"errors"
	"fmt"
	"slices"
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

// A block that is cut would be copied and checked again by the next Read.
func TestReadEndsBehindABlock(t *testing.T) {
	db := open(t, tempPath(t))
	for range 3 { // blocks, because each Write has its own
		recs := slices.Repeat([]backend.Record{{Value: []byte("v")}}, 70)
		if _, err := streamlog.Commit(ctx, db.Store("s"), &streamlog.Write{Records: recs}); err != nil {
			t.Fatal(err)
		}
	}
	read := func(seq, below uint64, atMost, want int) {
		t.Helper()
		recs, _, err := db.Store("s").Read(seq, streamlog.ReadLimit{Below: below, Records: atMost, Bytes: 1 << 20})
		if err != nil || len(recs) != want {
			t.Errorf("%d records from %d on, %v, want %d", len(recs), seq, err, want)
		}
	}
	read(0, 210, 209, 140)
	read(0, 210, 210, 210)
	read(10, 210, 199, 130)
	read(10, 210, 50, 50) // a part of the first block, because a reader must get on
	read(0, 100, 1000, 100)
}
