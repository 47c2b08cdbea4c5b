package consumer_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

func TestLatestPinnedOverReconnectBeforeFirstRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSpy()
		// The tail is at 5. The reader dies; meanwhile 5 to 7 are appended, which must not be missed.
		src := newScript(
			step{next: "5", caughtUp: true}, step{read: errLost},
			step{open: errLost}, step{from: 5, to: 8, caughtUp: true})
		c := newConsumer(t, src, consumer.StartAt(backend.Latest), consumer.Checkpoint(store, key))
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Value == 5 && stored(t, store) != "5" {
				t.Errorf("%q is saved in the first record: a kill now would begin at a later tail", stored(t, store))
			}
			if m.Value == 7 {
				break
			}
		}
		if got, want := src.opens(), []backend.Offset{backend.Latest, "5", "5"}; !slices.Equal(got, want) {
			t.Errorf("opened at %v, want %v", got, want)
		}
	})
}

func TestLatestPinnedOverKillBeforeFirstRecord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := count(t, 3), newSpy()
		opts := []consumer.Option{consumer.StartAt(backend.Latest), consumer.Checkpoint(store, key)}
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { drain(ctx, newConsumer(t, s, opts...)) })
		synctest.Wait() // it waits at the tail
		cancel()
		wg.Wait()
		appendNumbers(t, s, 3, 5)
		got, err := drain(t.Context(), newConsumer(t, s, append(opts, consumer.StopAtTail())...))
		if err != nil || !slices.Equal(got, upTo(3, 5)) {
			t.Errorf("got %v and %v, want what came after the first one began", got, err)
		}
	})
}

func TestRelativeStartIsTriedUntilItOpens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(step{open: errLost}, step{open: errLost}, step{from: 3, to: 5}, step{read: errLost}, recs(5, 6))
		c := newConsumer(t, src, consumer.StartAt(backend.Last(2)))
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Value == 5 {
				break
			}
		}
		last := backend.Last(2)
		if got, want := src.opens(), []backend.Offset{last, last, last, "5"}; !slices.Equal(got, want) {
			t.Errorf("opened at %v, want %v", got, want)
		}
	})
}

func TestRelativeStarts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := count(t, 3)
		<-time.After(time.Hour)
		between := time.Now()
		<-time.After(time.Hour)
		appendNumbers(t, s, 3, 5)
		for _, tc := range []struct {
			start backend.Offset
			first int
		}{
			{backend.Earliest, 0}, {backend.Last(2), 3}, {backend.Last(99), 0}, {backend.Latest, 5},
			{backend.AtTime(between), 3}, {backend.AtTime(time.Now().Add(time.Hour)), 5},
		} {
			store := newSpy()
			c := newConsumer(t, s, consumer.StartAt(tc.start), consumer.Checkpoint(store, key), consumer.StopAtTail())
			var got []int
			var saved backend.Offset
			for m, err := range c.Messages(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if got = append(got, m.Value); len(got) == 1 {
					saved = stored(t, store)
				}
			}
			if !slices.Equal(got, upTo(tc.first, 5)) {
				t.Errorf("%s: got %v, want from %d on", tc.start, got, tc.first)
			}
			if len(got) > 0 && saved != s.Records()[tc.first].Offset {
				t.Errorf("%s: %q is saved in the first record, want its place", tc.start, saved)
			}
		}
	})
}

func TestStartAtIsForWhenThereIsNoCheckpoint(t *testing.T) {
	s, store := count(t, 9), newSpy()
	at := func(i int) consumer.Option { return consumer.StartAt(s.Records()[i].Offset) }
	for m := range newConsumer(t, s, at(2), consumer.Checkpoint(store, key)).Messages(t.Context()) {
		if m.Value != 2 {
			t.Errorf("began at %d, want 2", m.Value)
		}
		m.Ack()
		break
	}
	for m := range newConsumer(t, s, at(7), consumer.Checkpoint(store, key)).Messages(t.Context()) {
		if m.Value != 3 {
			t.Errorf("began at %d, want behind the checkpoint", m.Value)
		}
		break
	}
}

func TestPinnedPlaceThatCannotBeSavedEndsTheLoop(t *testing.T) {
	store := newSpy()
	store.failing(errDisk)
	c := newConsumer(t, count(t, 3), consumer.Checkpoint(store, key))
	if got, err := drain(t.Context(), c); got != nil || !errors.Is(err, errDisk) {
		t.Errorf("got %v and %v, want the store's error before any record", got, err)
	}
}

func TestPlaceThatIsNoneIsFatal(t *testing.T) {
	s := count(t, 9)
	if err := s.Trim(t.Context(), s.Records()[5].Offset); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct {
		src   backend.Source
		start backend.Offset
		want  error
	}{
		"trimmed":     {s, "2", backend.ErrOutOfRange},
		"beyond":      {s, "99", backend.ErrOutOfRange},
		"foreign":     {memory.New(), "a/b", backend.ErrOutOfRange},
		"unsupported": {newScript(step{open: backend.ErrUnsupported}), backend.AtTime(time.Now()), errors.ErrUnsupported},
		"not found":   {newScript(step{open: backend.ErrNotFound}), backend.Earliest, backend.ErrNotFound},
		"no name":     {newScript(step{caughtUp: true}), backend.Latest, nil},
	} {
		got, err := drain(t.Context(), newConsumer(t, tc.src, consumer.StartAt(tc.start)))
		if got != nil || err == nil || tc.want != nil && !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v and %v, want %v", name, got, err, tc.want)
		}
	}
}

// A reader that is lost behind such a batch would be opened again at the tail, and the records until then would be lost.
func TestSourceThatGoesOnAtAStartIsFaulty(t *testing.T) {
	for name, bad := range map[string]step{"behind records": {from: 3, to: 5, next: backend.Latest}, "without records": {next: backend.Latest}} {
		src := newScript(recs(0, 3), bad, step{read: errLost}, recs(9, 10), step{read: io.EOF})
		got, err := drain(t.Context(), newConsumer(t, src))
		if !slices.Equal(got, upTo(0, 3)) || err == nil || !strings.Contains(err.Error(), "faulty") || len(src.opens()) != 1 {
			t.Errorf("%s: %v and %v, opened at %v; want an error behind 2", name, got, err, src.opens())
		}
	}
}

func TestPlaceOfACheckpointThatTheStreamLacksNamesTheKeyAndTheRemedy(t *testing.T) {
	store := checkpoint.NewMemory()
	if err := consumer.Reset(t.Context(), store, "orders/billing", "7"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		want bool
		opt  consumer.Option
	}{{true, consumer.Checkpoint(store, "orders/billing")}, {false, consumer.StartAt("7")}} {
		reader, err := consumer.New(memory.New(), codec.String(), c.opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, err = range reader.Messages(t.Context()) {
		}
		said := err != nil && strings.Contains(err.Error(), `"orders/billing"`) && strings.Contains(err.Error(), "consumer.Reset")
		if !errors.Is(err, backend.ErrOutOfRange) || said != c.want {
			t.Errorf("%v", err)
		}
	}
}

type doorless struct{}

func (doorless) OpenReader(context.Context, backend.Offset) (backend.Reader, error) { return nil, nil }

func TestSourceThatOpensNothingIsFaulty(t *testing.T) {
	for _, opts := range [][]consumer.Option{nil, {consumer.StopAtTail()}} {
		if _, err := drain(t.Context(), newConsumer(t, doorless{}, opts...)); err == nil || !strings.Contains(err.Error(), "faulty") {
			t.Errorf("%v, want that the source is faulty", err)
		}
	}
}
