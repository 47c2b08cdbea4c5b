package consumer_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
)

// untold hides that a source is a Tailer.
type untold struct{ backend.Source }

// The lag counts from the oldest record that is not done, whatever is done behind it.
func TestLagCountsFromTheLowWaterMark(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, store := count(t, 100), newSpy()
		<-time.After(time.Minute)
		appendNumbers(t, s, 100, 150)
		<-time.After(time.Minute)
		for _, src := range []backend.Source{s, untold{s}} {
			_, counts := src.(backend.Tailer)
			want := func(what string, l consumer.Lag, err error, records int64, age time.Duration) {
				t.Helper()
				if !counts && records > 0 {
					records = -1
				}
				if err != nil || l.Records != records || l.Age != age || l.CaughtUp != (records == 0) {
					t.Errorf("%s, %T: %+v, %v; want %d records and %v", what, src, l, err, records, age)
				}
			}
			name := "numbers/" + strings.Repeat("x", 1)
			if counts {
				name += "counts"
			}
			c := newConsumer(t, src, consumer.Checkpoint(store, name), consumer.ManualAck(), consumer.StopAtTail())
			l, err := c.Lag(t.Context())
			want("before the first loop", l, err, 150, 2*time.Minute)
			var late consumer.Message[int]
			for m, err := range c.Messages(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case m.Value == 100:
					late = m
				case m.Value != 140:
					m.Ack()
				}
				if m.Value == 145 {
					break
				}
			}
			l, err = c.Lag(t.Context())
			want("with a record in hand", l, err, 50, time.Minute)
			if st := c.Stats(); st.Lag.Age != time.Minute || st.Lag.CaughtUp || st.Lag.Records != 50 {
				t.Errorf("stats %+v", st)
			}
			if err := c.Commit(t.Context()); err != nil {
				t.Fatal(err)
			}
			l, err = checkpoint.Lag(t.Context(), store, name, src)
			want("at the checkpoint", l, err, 50, time.Minute)
			late.Ack()
			l, err = c.Lag(t.Context())
			want("after it", l, err, 10, time.Minute)
			if err := consumer.Reset(t.Context(), store, name, backend.Latest); err != nil {
				t.Fatal(err)
			}
			l, err = checkpoint.Lag(t.Context(), store, name, src)
			want("at the tail", l, err, 0, 0)
			l, err = checkpoint.Lag(t.Context(), store, "numbers/nobody", src)
			want("without a checkpoint", l, err, 150, 2*time.Minute)
		}
	})
}

func TestLagOfAnotherStreamIsRefused(t *testing.T) {
	store := newSpy()
	one := newConsumer(t, count(t, 5), consumer.Checkpoint(store, key), consumer.StopAtTail())
	if _, err := drain(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	other := count(t, 9)
	if _, err := checkpoint.Lag(t.Context(), store, key, other); !errors.Is(err, backend.ErrOutOfRange) || !strings.Contains(err.Error(), key) {
		t.Errorf("%v", err)
	}
	if _, err := newConsumer(t, other, consumer.Checkpoint(store, key)).Lag(t.Context()); !errors.Is(err, backend.ErrOutOfRange) {
		t.Errorf("%v", err)
	}
}

// A checkpoint of another stream ends every kind of loop before a record, with an error that says so.
func TestCheckpointOfAnotherStreamEndsTheLoop(t *testing.T) {
	store := newSpy()
	if _, err := drain(t.Context(), newConsumer(t, count(t, 5), consumer.Checkpoint(store, key), consumer.StopAtTail())); err != nil {
		t.Fatal(err)
	}
	at := stored(t, store)
	handle := func(context.Context, consumer.Message[int]) error { t.Error("a record was handed out"); return nil }
	err := newConsumer(t, count(t, 9), consumer.Checkpoint(store, key), consumer.StopAtTail()).Process(t.Context(), handle)
	if !errors.Is(err, backend.ErrOutOfRange) || !strings.Contains(err.Error(), "another stream") || stored(t, store) != at {
		t.Errorf("%v, %q is stored", err, stored(t, store))
	}
}

// Reset fences a consumer that runs, and the next one begins at the new place with nothing left out.
func TestResetMovesThePlaceAndFences(t *testing.T) {
	s, store := count(t, 20), newSpy()
	running := newConsumer(t, s, consumer.Checkpoint(store, key), consumer.ManualAck(), consumer.CheckpointEvery(1, 0))
	var last error
	for m, err := range running.Messages(t.Context()) {
		if last = err; err != nil {
			break
		}
		if m.Value == 10 {
			if err := consumer.Reset(t.Context(), store, key, "3"); err != nil {
				t.Fatal(err)
			}
		}
		if m.Value > 4 {
			m.Ack()
		}
	}
	if !errors.Is(last, backend.ErrFenced) {
		t.Errorf("the running consumer ended with %v", last)
	}
	got, err := drain(t.Context(), newConsumer(t, s, consumer.Checkpoint(store, key), consumer.StopAtTail()))
	if err != nil || !slices.Equal(got, upTo(3, 20)) {
		t.Errorf("%v, %v", got, err)
	}
	for _, start := range []backend.Offset{backend.Earliest, backend.Last(4)} {
		if err := consumer.Reset(t.Context(), store, key, start); err != nil {
			t.Fatal(err)
		}
		got, err := drain(t.Context(), newConsumer(t, s, consumer.Checkpoint(store, key), consumer.StopAtTail()))
		if want := map[backend.Offset][]int{backend.Earliest: upTo(0, 20), backend.Last(4): upTo(16, 20)}[start]; err != nil || !slices.Equal(got, want) {
			t.Errorf("from %s: %v, %v", start, got, err)
		}
	}
	before, _ := store.Load(t.Context(), key)
	if err := consumer.Reset(t.Context(), store, key, ""); !errors.Is(err, backend.ErrRejected) {
		t.Errorf("%v", err)
	}
	if after, _ := store.Load(t.Context(), key); after != before {
		t.Errorf("a refused Reset changed %v to %v", before, after)
	}
}

func TestStopAtEndsBeforeThePlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := count(t, 1000)
		<-time.After(time.Hour)
		noon := time.Now()
		<-time.After(time.Hour)
		appendNumbers(t, s, 1000, 2000)
		all := s.Records()
		for name, tc := range map[string]struct {
			from, to backend.Offset
			want     []int
		}{
			"a place":              {backend.Earliest, all[700].Offset, upTo(0, 700)},
			"behind a record":      {all[10].Offset, all[10].Next, upTo(10, 11)},
			"the place itself":     {all[10].Offset, all[10].Offset, nil},
			"a place before":       {all[500].Offset, all[10].Offset, nil},
			"a time":               {all[990].Offset, backend.AtTime(noon), upTo(990, 1000)},
			"a time to come":       {all[1990].Offset, backend.AtTime(noon.Add(24 * time.Hour)), upTo(1990, 2000)},
			"the last but three":   {all[1990].Offset, backend.Last(3), upTo(1990, 1997)},
			"from a start, before": {backend.Last(5), all[10].Offset, nil},
			"the end":              {all[1990].Offset, all[1999].Next, upTo(1990, 2000)},
		} {
			store := newSpy()
			c := newConsumer(t, s, consumer.StartAt(tc.from), consumer.StopAt(tc.to), consumer.Checkpoint(store, key))
			got, err := drain(t.Context(), c)
			if err != nil || !slices.Equal(got, tc.want) {
				t.Errorf("%s: %d records %v…, %v", name, len(got), got[:min(3, len(got))], err)
			}
			if len(tc.want) > 0 && stored(t, store) != all[tc.want[len(tc.want)-1]].Next {
				t.Errorf("%s: %q is saved", name, stored(t, store))
			}
			got, err = drain(t.Context(), newConsumer(t, s, consumer.Checkpoint(store, key), consumer.StopAt(tc.to)))
			if err != nil || len(got) > 0 {
				t.Errorf("%s, again: %d records, %v", name, len(got), err)
			}
		}
	})
}

func TestStopAtAPlaceOfAnotherStreamIsRefused(t *testing.T) {
	var other backend.Offset
	for _, r := range count(t, 3).Records() {
		other = r.Next
	}
	got, err := drain(t.Context(), newConsumer(t, count(t, 5), consumer.StopAt(other)))
	if !errors.Is(err, backend.ErrOutOfRange) || !strings.Contains(err.Error(), "StopAt") || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := consumer.New(memory.New(), numbers, consumer.StopAt("")); err == nil {
		t.Error("an empty place is taken")
	}
}
