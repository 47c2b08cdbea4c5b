package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/consumer"
)

func TestRecoveryReopensAtTheLastPositionSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(
			recs(0, 3), step{read: errLost},
			step{from: 3, to: 4, next: "9"}, step{read: fmt.Errorf("cut: %w", backend.ErrIndeterminate)},
			step{next: "12"}, step{read: errLost},
			recs(12, 14), step{read: io.EOF})
		got, err := drain(t.Context(), newConsumer(t, src))
		if err != nil || !slices.Equal(got, []int{0, 1, 2, 3, 12, 13}) {
			t.Errorf("got %v and %v", got, err)
		}
		if got, want := src.opens(), []backend.Offset{backend.Earliest, "3", "9", "12"}; !slices.Equal(got, want) {
			t.Errorf("opened at %v, want %v", got, want)
		}
		if src.closed != 4 {
			t.Errorf("%d of 4 readers closed", src.closed)
		}
	})
}

func TestRecoveryIsNoMatterToTheLoopInHand(t *testing.T) {
	// The place read last is far ahead of the record in hand; what is saved stays behind the latter.
	synctest.Test(t, func(t *testing.T) {
		store := newSpy()
		src := newScript(recs(0, 9), step{read: errLost}, recs(9, 10))
		for m, err := range newConsumer(t, src, consumer.Checkpoint(store, key)).Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if elapse(time.Minute); m.Value == 4 {
				break
			}
		}
		if got := stored(t, store); got != "4" {
			t.Errorf("saved %q", got)
		}
	})
}

func TestBudgetWithoutProgressRunsOut(t *testing.T) {
	for name, never := range map[string]step{
		"never opens":       {open: errLost},
		"accepts and drops": {read: errLost},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newScript(recs(0, 2), step{read: errLost})
				for range 100 {
					src.add(never)
				}
				begun := time.Now()
				got, err := drain(t.Context(), newConsumer(t, src, consumer.Attempts(13)))
				if len(got) != 2 || err == nil || !strings.Contains(err.Error(), errLost.Error()) {
					t.Errorf("got %v and %v, want the records and then why it gave up", got, err)
				}
				if n, took := len(src.opens()), time.Since(begun); n > 20 || took < 10*time.Second || took > time.Minute {
					t.Errorf("%d openings in %v: hammered, or too patient", n, took)
				}
			})
		})
	}
}

func TestAttemptsAndBackoff(t *testing.T) {
	for name, c := range map[string]struct {
		opts     []consumer.Option
		openings int
		from, to time.Duration
	}{
		"thirteen":         {[]consumer.Option{consumer.Attempts(13)}, 13, 15 * time.Second, time.Minute},
		"one attempt":      {[]consumer.Option{consumer.Attempts(1)}, 1, 0, 0},
		"three, no waits":  {[]consumer.Option{consumer.Attempts(3), consumer.Backoff(0, 0)}, 3, 0, 0},
		"three, slow ones": {[]consumer.Option{consumer.Attempts(3), consumer.Backoff(time.Minute, time.Hour)}, 3, 90 * time.Second, 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				src := newScript()
				for range 100 {
					src.add(step{open: errLost})
				}
				begun := time.Now()
				_, err := drain(t.Context(), newConsumer(t, src, c.opts...))
				if n, took := len(src.opens()), time.Since(begun); err == nil || errors.Is(err, backend.ErrTransient) || n != c.openings || took < c.from || took > c.to {
					t.Errorf("%d openings in %v, %v", n, took, err)
				}
			})
		})
	}
	for _, o := range []consumer.Option{consumer.Attempts(0), consumer.Backoff(-1, 1), consumer.Backoff(2, 1)} {
		if _, err := consumer.New(newScript(), numbers, o); err == nil {
			t.Error("attempts that are none are taken")
		}
	}
}

func TestOnlyProgressResetsTheBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript()
		for i := range 100 { // ten failures for every batch: more than the budget in all, less between two batches
			for range 10 {
				src.add(step{open: errLost})
			}
			src.add(recs(i, i+1), step{read: errLost})
		}
		src.add(step{read: io.EOF})
		if got, err := drain(t.Context(), newConsumer(t, src)); err != nil || len(got) != 100 {
			t.Errorf("got %d records and %v", len(got), err)
		}
	})
}

func TestIdleForADayOfRoutineDisconnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(step{next: "5", caughtUp: true})
		for range 24 * 60 {
			src.add(step{wait: time.Minute, read: errLost}, step{caughtUp: true})
		}
		src.add(recs(5, 6), step{read: io.EOF})
		c := newConsumer(t, src, consumer.StartAt(backend.Latest))
		if got, err := drain(t.Context(), c); err != nil || !slices.Equal(got, []int{5}) {
			t.Errorf("got %v and %v, want the record that came after the day", got, err)
		}
		if st := c.Stats(); st.Reopened != 24*60 {
			t.Errorf("%d reopened", st.Reopened)
		}
	})
}

type busy struct{ wait time.Duration }

func (b busy) Error() string             { return "busy" }
func (b busy) RetryAfter() time.Duration { return b.wait }

func TestRetryIsNeverBeforeWhatTheStoreAsksFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		src := newScript(step{open: fmt.Errorf("%w: %w", backend.ErrTransient, busy{time.Hour})}, recs(0, 1), step{read: io.EOF})
		if got, err := drain(t.Context(), newConsumer(t, src)); err != nil || len(got) != 1 {
			t.Errorf("got %v and %v", got, err)
		}
		if took := time.Since(begun); took < time.Hour {
			t.Errorf("tried again after %v", took)
		}
	})
}

func TestCtxEndsTheWaitForARetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(step{open: fmt.Errorf("%w: %w", backend.ErrTransient, busy{time.Hour})})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := drain(ctx, newConsumer(t, src)); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}

func TestUnclassifiedAndFatalReadErrorsEndTheLoop(t *testing.T) {
	for _, cause := range []error{
		errors.New("unclassified"), backend.ErrOutOfRange, backend.ErrUnauthorized, backend.ErrNotFound, backend.ErrClosed,
		fmt.Errorf("a failure that names EOF: %w", io.EOF), io.ErrUnexpectedEOF,
	} {
		src := newScript(recs(0, 2), step{read: cause}, recs(2, 3))
		got, err := drain(t.Context(), newConsumer(t, src))
		if !slices.Equal(got, upTo(0, 2)) || !errors.Is(err, cause) || len(src.opens()) != 1 {
			t.Errorf("%v: got %v and %v after %d openings", cause, got, err, len(src.opens()))
		}
	}
}

func TestHooks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var seen []string
		note := func(format string, args ...any) {
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, fmt.Sprintf(format, args...))
		}
		store := newSpy()
		src := newScript(recs(0, 2), step{wait: time.Second, read: errLost},
			step{from: 2, to: 3, values: []string{"bad"}, caughtUp: true})
		c := newConsumer(t, src, consumer.StopAtTail(), consumer.Checkpoint(store, key), consumer.CheckpointEvery(0, 0),
			consumer.OnPoison(consumer.Skip),
			consumer.Observe(consumer.Hooks{
				ReaderOpened:   func(e consumer.ReaderEvent) { note("opened %s #%d", e.From, e.Attempt) },
				ReaderReopened: func(e consumer.ReaderEvent) { note("reopened %s #%d", e.From, e.Attempt) },
				ReaderLost: func(e consumer.ReaderEvent) {
					note("lost %s #%d after %v, again %t: %v", e.From, e.Attempt, e.Elapsed, e.Delay > 0, e.Err)
				},
				Poison: func(e consumer.PoisonEvent) { note("poison %s %t %t", e.Err.Offset, e.Skipped, e.DeadLetter) },
			}),
			consumer.Observe(consumer.Hooks{
				BatchRead:        func(e consumer.ReadEvent) { note("read %d %d %t %v", e.Records, e.Bytes, e.CaughtUp, e.Lag) },
				CheckpointSaved:  func(e consumer.SaveEvent) { note("saved %s #%d", e.Offset, e.Attempt) },
				CheckpointFailed: func(e consumer.SaveEvent) { note("failed %s #%d %v", e.Offset, e.Attempt, e.Err) },
			}))
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if synctest.Wait(); m.Value == 0 {
				store.failing(fmt.Errorf("busy: %w", backend.ErrTransient))
				time.AfterFunc(2*time.Second, func() { store.failing(nil) })
			}
			if m.Value == 1 {
				elapse(1999 * time.Millisecond)
			}
		}
		want := []string{
			"opened @earliest #1", "read 2 322 false 0s", "saved 0 #1",
			"lost 2 #1 after 1s, again true: " + errLost.Error(), "reopened 2 #2", "read 1 163 true 0s",
			"poison 2 true false", "failed 3 #1 busy: transient failure", "saved 3 #2",
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(seen, want) {
			t.Errorf("got  %q\nwant %q", seen, want)
		}
		if st := c.Stats(); st != (consumer.Stats{Read: 3, Done: 3, Poison: 1, Reopened: 1, Saved: 2, CaughtUp: true, Lag: consumer.Lag{CaughtUp: true}, Position: "3"}) {
			t.Errorf("stats %+v", st)
		}
	})
}
