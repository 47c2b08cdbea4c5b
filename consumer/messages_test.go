package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
)

func TestMessagesInOrderUntilTheStreamIsClosed(t *testing.T) {
	s := count(t, 3000)
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, decoders := range []int{1, 4} {
		got, err := drain(t.Context(), newConsumer(t, s, consumer.Decoders(decoders)))
		if err != nil || !slices.Equal(got, upTo(0, 3000)) {
			t.Errorf("%d decoders: %d records and %v, want 3000 in order and no error", decoders, len(got), err)
		}
	}
}

func TestMessageIsTheRecordAndItsValue(t *testing.T) {
	st := recs(7, 8)
	st.headers = backend.Headers{{Name: "trace", Value: []byte("1")}}
	st.caughtUp = true
	for m, err := range newConsumer(t, newScript(st), consumer.StopAtTail()).Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		trace, _ := m.Headers.Lookup("trace")
		if m.Value != 7 || string(m.Record.Value) != "7" || m.Offset != "7" || m.Next != "8" || string(trace) != "1" {
			t.Errorf("got %+v", m)
		}
	}
}

// What is done when the body leaves the loop at record 2, and by the next loop what comes first.
func TestBreakReturnPanicContinue(t *testing.T) {
	panics := func(all iter.Seq2[consumer.Message[int], error]) {
		defer func() { _ = recover() }()
		for m, err := range all {
			if err != nil || m.Value == 2 {
				panic(err)
			}
		}
	}
	for _, tc := range []struct {
		name string
		loop func(iter.Seq2[consumer.Message[int], error])
		next int
	}{
		{"break", func(all iter.Seq2[consumer.Message[int], error]) {
			for m, err := range all {
				if err != nil || m.Value == 2 {
					break
				}
			}
		}, 2},
		{"return", func(all iter.Seq2[consumer.Message[int], error]) {
			for m, err := range all {
				if err != nil || m.Value == 2 {
					return
				}
			}
		}, 2},
		{"panic", panics, 2},
		{"goexit", func(all iter.Seq2[consumer.Message[int], error]) {
			var wg sync.WaitGroup
			wg.Go(func() {
				for m, err := range all {
					if err != nil || m.Value == 2 {
						runtime.Goexit()
					}
				}
			})
			wg.Wait()
		}, 2},
		{"continue acknowledges", func(all iter.Seq2[consumer.Message[int], error]) {
			for m, err := range all {
				if err == nil && m.Value == 2 {
					continue
				}
				if err != nil || m.Value == 3 {
					break
				}
			}
		}, 3},
		{"Ack before break", func(all iter.Seq2[consumer.Message[int], error]) {
			for m, err := range all {
				if err != nil || m.Value == 2 {
					m.Ack()
					break
				}
			}
		}, 3},
		{"pulled", func(all iter.Seq2[consumer.Message[int], error]) {
			next, stop := iter.Pull2(all)
			defer stop()
			for range 3 {
				next()
			}
		}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, store := count(t, 5), newSpy()
			opts := []consumer.Option{consumer.StopAtTail(), consumer.Checkpoint(store, key)}
			c := newConsumer(t, s, opts...)
			tc.loop(c.Messages(t.Context()))
			want := s.Records()[tc.next].Offset
			if got := stored(t, store); got != want {
				t.Errorf("saved %q at the end of the loop, want %q", got, want)
			}
			if got, err := drain(t.Context(), c); err != nil || !slices.Equal(got, upTo(tc.next, 5)) {
				t.Errorf("the next loop got %v and %v, want from %d on", got, err, tc.next)
			}
		})
	}
}

func TestRecordIsDoneWhileTheLoopWaitsForTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSpy()
		c := newConsumer(t, newScript(recs(0, 1)), consumer.Checkpoint(store, key))
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := drain(ctx, c); err != context.Canceled {
				t.Errorf("got %v, want ctx's error", err)
			}
		})
		elapse(1500 * time.Millisecond) // the interval is 1 s
		if got := stored(t, store); got != "1" {
			t.Errorf("saved %q while the loop waits, want behind the record", got)
		}
		cancel()
		wg.Wait()
	})
}

func TestErrorIsFinalAndComesOnce(t *testing.T) {
	boom := errors.New("disk on fire")
	c := newConsumer(t, newScript(recs(0, 3), step{from: 3, to: 4, read: boom}))
	got, errs := 0, 0
	for m, err := range c.Messages(t.Context()) {
		switch {
		case err == nil:
			got++
		case !errors.Is(err, boom) || m.Offset != "":
			t.Errorf("got %v with %+v", err, m)
		default:
			errs++
		}
	}
	if got != 3 || errs != 1 {
		t.Errorf("%d records and %d errors, want all 3 that came before the error, and it once", got, errs)
	}
}

func TestCtxEndsTheLoopAfterTheFinalSave(t *testing.T) {
	s, store := count(t, 5), newSpy()
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var got []int
	for m, err := range newConsumer(t, s, consumer.Checkpoint(store, key)).Messages(ctx) {
		if err != nil {
			if err != context.Canceled {
				t.Errorf("got %v, want ctx's error as it is", err)
			}
			if at := stored(t, store); at != s.Records()[2].Next {
				t.Errorf("%q is saved when the error comes, want the place behind record 2", at)
			}
			continue
		}
		if got = append(got, m.Value); m.Value == 2 {
			cancel(errors.New("enough"))
		}
	}
	if !slices.Equal(got, upTo(0, 3)) {
		t.Errorf("got %v, want nothing after the cancel", got)
	}
}

// What ctx interrupts says so in its own words; the loop's error is ctx's all the same.
func TestCtxEndsWhateverTheLoopWaitsFor(t *testing.T) {
	for name, tc := range map[string]struct {
		interrupt consumer.Option
		save      bool
		want      backend.Offset
	}{
		"a save":        {nil, true, "3"},
		"a dead letter": {consumer.DeadLetters(hangs{}), false, "3"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				store := newSpy()
				opts := []consumer.Option{consumer.Checkpoint(store, key), consumer.CheckpointEvery(3, 0)}
				if tc.interrupt != nil {
					opts = append(opts, tc.interrupt)
				}
				if tc.save {
					store.fail = func(ctx context.Context, cp checkpoint.Checkpoint) error {
						if cp.Offset == "3" && ctx.Err() == nil {
							store.failing(nil)
							cancel()
							return fmt.Errorf("store: save: %w: %w", backend.ErrIndeterminate, ctx.Err())
						}
						return nil
					}
				} else {
					time.AfterFunc(time.Millisecond, cancel)
				}
				src := newScript(step{from: 0, to: 5, values: []string{"0", "1", "2", "bad"}})
				got, err := drain(ctx, newConsumer(t, src, opts...))
				if !slices.Equal(got, upTo(0, 3)) || err != context.Canceled || stored(t, store) != tc.want {
					t.Errorf("got %v and %v, %q is saved", got, err, stored(t, store))
				}
			})
		})
	}
	t.Run("a claim", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		store := &claimFails{spyStore: newSpy(), errs: []error{backend.ErrTransient}, before: cancel}
		if got, err := drain(ctx, newConsumer(t, newScript(), consumer.Checkpoint(store, key))); got != nil || err != context.Canceled {
			t.Errorf("got %v and %v", got, err)
		}
	})
}

type hangs struct{}

func (hangs) Send(ctx context.Context, _ ...consumer.DeadLetter) error {
	<-ctx.Done()
	return fmt.Errorf("letterbox: %w: %w", backend.ErrIndeterminate, ctx.Err())
}

func TestLoopUnderACtxThatIsOverDoesNothing(t *testing.T) {
	src, store := newScript(recs(0, 1)), newSpy()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	got, err := drain(ctx, newConsumer(t, src, consumer.Checkpoint(store, key)))
	if got != nil || err != context.Canceled || store.claims != 0 || len(src.opens()) != 0 {
		t.Errorf("got %v and %v after %d claims and %d openings", got, err, store.claims, len(src.opens()))
	}
}

func TestTwoLoopsAtOnceIsAnError(t *testing.T) {
	c := newConsumer(t, count(t, 3), consumer.StopAtTail())
	n := 0
	for _, err := range c.Messages(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		n++
		if got, err := drain(t.Context(), c); err == nil || got != nil {
			t.Fatalf("a second loop got %v and %v, want an error alone", got, err)
		}
		if err := c.Pipe(t.Context(), nil); err == nil {
			t.Fatal("Pipe beside a loop: no error")
		}
	}
	if n != 3 {
		t.Errorf("the first loop got %d of 3", n)
	}
}

func TestSecondLoopGoesOn(t *testing.T) {
	three := func(c *consumer.Consumer[int], want ...int) {
		t.Helper()
		var got []int
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, m.Value)
			if len(got) == 3 {
				m.Ack()
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	t.Run("without a store", func(t *testing.T) {
		c := newConsumer(t, count(t, 9))
		three(c, 0, 1, 2)
		three(c, 3, 4, 5)
		if st := c.Stats(); st.Done != 6 {
			t.Errorf("%d done by two loops, want 6", st.Done)
		}
	})
	t.Run("from what the claim returned", func(t *testing.T) {
		s, store := count(t, 9), newSpy()
		c := newConsumer(t, s, consumer.Checkpoint(store, key))
		three(c, 0, 1, 2)
		three(newConsumer(t, s, consumer.Checkpoint(store, key)), 3, 4, 5) // somebody else moved on
		three(c, 6, 7, 8)
	})
}

func TestStopAtTail(t *testing.T) {
	s := count(t, 5)
	c := newConsumer(t, s, consumer.StopAtTail())
	if got, err := drain(t.Context(), c); err != nil || !slices.Equal(got, upTo(0, 5)) {
		t.Errorf("got %v and %v", got, err)
	}
	if got, err := drain(t.Context(), c); err != nil || got != nil {
		t.Errorf("at the tail: got %v and %v", got, err)
	}
	appendNumbers(t, s, 5, 7)
	if got, err := drain(t.Context(), c); err != nil || !slices.Equal(got, upTo(5, 7)) {
		t.Errorf("after two more: got %v and %v", got, err)
	}
	if st := c.Stats(); !st.CaughtUp || st.Done != 7 || st.Read != 7 {
		t.Errorf("stats %+v", st)
	}
}

func TestStopAtTailOnEmptyStream(t *testing.T) {
	for _, start := range []backend.Offset{backend.Earliest, backend.Latest, backend.Last(3)} {
		store := newSpy()
		c := newConsumer(t, count(t, 0), consumer.StopAtTail(), consumer.StartAt(start), consumer.Checkpoint(store, key))
		if got, err := drain(t.Context(), c); err != nil || got != nil {
			t.Errorf("%s: got %v and %v", start, got, err)
		}
		if at := stored(t, store); at == "" || at.Relative() {
			t.Errorf("%s: %q is saved, want the absolute place", start, at)
		}
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	src := newScript()
	for name, opts := range map[string][]consumer.Option{
		"no place":     {consumer.StartAt("")},
		"nil option":   {nil},
		"nil logger":   {consumer.Logger(nil)},
		"no store":     {consumer.Checkpoint(nil, key)},
		"no key":       {consumer.Checkpoint(newSpy(), "")},
		"no batch":     {consumer.BatchRecords(0)},
		"no buffer":    {consumer.BufferBytes(0)},
		"no decoder":   {consumer.Decoders(0)},
		"no time":      {consumer.DrainTimeout(0)},
		"no letterbox": {consumer.DeadLetters(nil)},
	} {
		if _, err := consumer.New(src, numbers, opts...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := consumer.New(nil, numbers); err == nil {
		t.Error("no source: no error")
	}
}
