package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
)

var errDisk = errors.New("disk full")

func TestFinalSaveFailsInsteadOfCtx(t *testing.T) {
	var log strings.Builder
	store := newSpy()
	c := newConsumer(t, count(t, 5), consumer.Checkpoint(store, key),
		consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var errs []error
	for m, err := range c.Messages(ctx) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if m.Value == 2 {
			store.failing(errDisk)
			cancel()
		}
	}
	if len(errs) != 1 || !errors.Is(errs[0], errDisk) || errors.Is(errs[0], context.Canceled) {
		t.Errorf("got %v, want the store's error once, and not ctx's with it", errs)
	}
	if !strings.Contains(log.String(), "final save") || !strings.Contains(log.String(), "disk full") {
		t.Errorf("the log does not tell: %s", log.String())
	}
	store.failing(nil)
	// It has been said: the next loop begins, behind what the mended store now takes.
	for m, err := range c.Messages(t.Context()) {
		if err != nil || m.Value != 3 {
			t.Errorf("the next loop begins with %d and %v", m.Value, err)
		}
		break
	}
}

func TestFinalSaveFailsAfterBreakIsTheNextCallsError(t *testing.T) {
	leaveAt2 := func(c *consumer.Consumer[int], store *spyStore, leave func()) {
		defer func() { _ = recover() }()
		for m, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if m.Value == 2 {
				store.failing(errDisk)
				leave()
				break
			}
		}
	}
	for name, leave := range map[string]func(){"break": func() {}, "panic": func() { panic("body") }} {
		t.Run(name, func(t *testing.T) {
			store := newSpy()
			c := newConsumer(t, count(t, 5), consumer.Checkpoint(store, key))
			leaveAt2(c, store, leave)
			store.failing(nil)
			if got, err := drain(t.Context(), c); got != nil || !errors.Is(err, errDisk) {
				t.Errorf("the next loop got %v and %v, want the final save's error", got, err)
			}
			for m, err := range c.Messages(t.Context()) { // said once
				if err != nil || m.Value != 2 {
					t.Errorf("the loop after it begins with %d and %v", m.Value, err)
				}
				break
			}
		})
		t.Run(name+" then Commit", func(t *testing.T) {
			store := newSpy()
			c := newConsumer(t, newScript(recs(0, 5)), consumer.Checkpoint(store, key))
			leaveAt2(c, store, leave)
			if err := c.Commit(t.Context()); !errors.Is(err, errDisk) {
				t.Errorf("Commit: %v, want why it still cannot", err)
			}
			store.failing(nil)
			if err := c.Commit(t.Context()); err != nil || stored(t, store) != "2" {
				t.Errorf("Commit: %v, %q is saved", err, stored(t, store))
			}
		})
	}
}

func TestFinalSaveHasABudgetOfItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newSpy()
		store.fail = func(ctx context.Context, cp checkpoint.Checkpoint) error {
			if cp.Offset == "0" {
				return nil
			}
			<-ctx.Done()
			return fmt.Errorf("%w: %w", backend.ErrIndeterminate, ctx.Err())
		}
		c := newConsumer(t, newScript(recs(0, 5)), consumer.Checkpoint(store, key),
			consumer.DrainTimeout(7*time.Second), consumer.CheckpointEvery(0, 0))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		_, err := drain(ctx, c)
		if took := time.Since(begun); took != 67*time.Second {
			t.Errorf("took %v, want the minute of ctx and the budget of 7 s", took)
		}
		if !errors.Is(err, backend.ErrIndeterminate) || errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want the save's error, which is not ctx's", err)
		}
	})
}

func TestFinalSaveBesideAnotherError(t *testing.T) {
	boom := errors.New("stream on fire")
	store := newSpy()
	c := newConsumer(t, newScript(recs(0, 2), step{read: boom}), consumer.Checkpoint(store, key))
	var last error
	for m, err := range c.Messages(t.Context()) {
		if m.Value == 1 {
			store.failing(errDisk)
		}
		last = err
	}
	if !errors.Is(last, boom) || !errors.Is(last, errDisk) {
		t.Errorf("got %v, want both: they are two things to mend", last)
	}
}

func TestSaveIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, tries := newSpy(), 0
		store.fail = func(context.Context, checkpoint.Checkpoint) error {
			if tries++; tries%3 != 0 {
				return fmt.Errorf("store: busy: %w", backend.ErrIndeterminate)
			}
			return nil
		}
		c := newConsumer(t, newScript(recs(0, 5), step{caughtUp: true}), consumer.Checkpoint(store, key),
			consumer.CheckpointEvery(2, 0), consumer.StopAtTail())
		got, err := drain(t.Context(), c)
		if err != nil || len(got) != 5 || stored(t, store) != "5" {
			t.Errorf("got %v and %v, %q is saved", got, err, stored(t, store))
		}
		if tries != 12 {
			t.Errorf("%d tries for 4 places at 3 each", tries)
		}
	})
}

func TestSaveThatNeverWorksEndsTheLoop(t *testing.T) {
	for name, cause := range map[string]error{"at once": errDisk, "after the budget": backend.ErrTransient} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newSpy()
				c := newConsumer(t, newScript(recs(0, 9)), consumer.Checkpoint(store, key),
					consumer.CheckpointEvery(2, 0), consumer.Attempts(13))
				n, errs := 0, 0
				for m, err := range c.Messages(t.Context()) {
					if err != nil {
						errs++
						if errors.Is(err, backend.ErrTransient) || strings.Count(err.Error(), cause.Error()) != 1 {
							t.Errorf("got %v, want %v once", err, cause)
						}
						continue
					}
					n++
					if m.Value == 2 {
						store.failing(cause)
					}
				}
				if n != 4 || errs != 1 {
					t.Errorf("%d records and %d errors, want the loop to stop at the second save", n, errs)
				}
			})
		})
	}
}

func TestClaimIsTriedAgainAndFailsForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &claimFails{spyStore: newSpy(), errs: []error{backend.ErrTransient, backend.ErrIndeterminate, nil, errDisk}}
		c := newConsumer(t, newScript(recs(0, 2), step{caughtUp: true}), consumer.Checkpoint(store, key),
			consumer.StopAtTail())
		if got, err := drain(t.Context(), c); err != nil || len(got) != 2 {
			t.Errorf("got %v and %v", got, err)
		}
		if _, err := drain(t.Context(), c); !errors.Is(err, errDisk) {
			t.Errorf("got %v, want the store's error", err)
		}
	})
}

type claimFails struct {
	*spyStore
	errs   []error
	before func() // each claim; may be nil
}

func (s *claimFails) Claim(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	if s.before != nil {
		s.before()
	}
	err := s.errs[0]
	if s.errs = s.errs[1:]; err != nil {
		return checkpoint.Checkpoint{}, fmt.Errorf("store: claim: %w", err)
	}
	return s.spyStore.Claim(ctx, key)
}
