package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/consumer"
)

// A dark source cannot be opened before dawn.
type dark struct {
	backend.Source
	dawn time.Time
}

func (s dark) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	if time.Now().Before(s.dawn) {
		return nil, errLost
	}
	return s.Source.OpenReader(ctx, from)
}

func warnings(log *strings.Builder) (n int) {
	return strings.Count(log.String(), "level=WARN")
}

func TestLoopOutlivesAnOutageOfItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		src := dark{count(t, 3), time.Now().Add(24 * time.Hour)}
		c := newConsumer(t, src, consumer.StopAtTail(), consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		if got, err := drain(t.Context(), c); err != nil || !slices.Equal(got, upTo(0, 3)) {
			t.Errorf("got %v and %v after a day's outage", got, err)
		}
		if n := warnings(&log); n != 2 || !strings.Contains(log.String(), "reads again") {
			t.Errorf("%d warnings, want one when the outage begins and one when it ends:\n%s", n, log.String())
		}
	})
}

func TestAFailedStartIsToldWithTheDefaultLogger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := slog.Default()
		defer slog.SetDefault(before)
		var log strings.Builder
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
		src := dark{count(t, 3), time.Now().Add(time.Hour)}
		if got, err := drain(t.Context(), newConsumer(t, src, consumer.StopAtTail())); err != nil || len(got) != 3 {
			t.Errorf("got %v and %v", got, err)
		}
		if n := warnings(&log); n != 2 {
			t.Errorf("%d warnings, want one for the failed start and one for its end:\n%s", n, log.String())
		}
	})
}

func TestLoopOutlivesAnOutageOfItsCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		store := newSpy()
		src := newScript(recs(0, 3), step{wait: time.Minute, from: 3, to: 4},
			step{wait: 48 * time.Hour, read: io.EOF})
		c := newConsumer(t, src, consumer.Checkpoint(store, key), consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		time.AfterFunc(30*time.Second, func() { store.failing(fmt.Errorf("down: %w", backend.ErrTransient)) })
		time.AfterFunc(24*time.Hour, func() { store.failing(nil) })
		got, err := drain(t.Context(), c)
		if err != nil || !slices.Equal(got, upTo(0, 4)) || stored(t, store) != "4" {
			t.Errorf("got %v and %v, %q is saved", got, err, stored(t, store))
		}
		if n := warnings(&log); n != 2 || !strings.Contains(log.String(), "could save the checkpoint again") {
			t.Errorf("%d warnings, want one when the outage begins and one when it ends:\n%s", n, log.String())
		}
	})
}

func TestClaimOutlivesAnOutageAndHeedsCtx(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := errors.Join(errDisk, backend.ErrTransient)
		store := &claimFails{spyStore: newSpy(), errs: slices.Repeat([]error{down}, 10_000)}
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		begun := time.Now()
		_, err := drain(ctx, newConsumer(t, newScript(), consumer.Checkpoint(store, key)))
		if took := time.Since(begun); err != context.DeadlineExceeded || took != time.Hour {
			t.Errorf("got %v after %v, want ctx's end after an hour", err, took)
		}
	})
}

func TestErrorAfterTheLastAttemptIsFinal(t *testing.T) {
	down := fmt.Errorf("down: %w", backend.ErrTransient)
	store := newSpy()
	for name, c := range map[string]*consumer.Consumer[int]{
		"opening": newConsumer(t, newScript(step{open: down}), consumer.Attempts(1)),
		"reading": newConsumer(t, newScript(step{read: down}), consumer.Attempts(1)),
		"claiming": newConsumer(t, newScript(), consumer.Attempts(1),
			consumer.Checkpoint(&claimFails{spyStore: newSpy(), errs: []error{down}}, key)),
		"saving": newConsumer(t, count(t, 3), consumer.Attempts(1), consumer.Checkpoint(store, key)),
	} {
		store.failing(down)
		_, err := drain(t.Context(), c)
		if err == nil || errors.Is(err, backend.ErrTransient) || !strings.Contains(err.Error(), "down") {
			t.Errorf("%s: got %v (transient %t), want a final error with its cause", name, err, errors.Is(err, backend.ErrTransient))
		}
	}
}

// A proxy that ends every wait after a while, before the loop has counted it as progress.
func TestReachingTheTailAgainIsProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(step{from: 0, to: 5, caughtUp: true})
		for range 1000 {
			src.add(step{wait: 2 * time.Second, read: errLost}, step{caughtUp: true})
		}
		src.add(recs(5, 6), step{read: io.EOF})
		got, err := drain(t.Context(), newConsumer(t, src, consumer.Attempts(13)))
		if err != nil || !slices.Equal(got, upTo(0, 6)) {
			t.Errorf("got %v and %v", got, err)
		}
	})
}

func TestCaughtUpIsNotSaidDuringAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(step{from: 0, to: 5, caughtUp: true}, step{wait: time.Second, read: errLost})
		for range 100 {
			src.add(step{open: errLost})
		}
		c := newConsumer(t, src)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go drain(ctx, c)
		if synctest.Wait(); !c.Stats().CaughtUp {
			t.Error("not caught up at the tail")
		}
		if elapse(2 * time.Second); c.Stats().CaughtUp {
			t.Error("caught up while the stream is out of reach")
		}
		cancel()
		synctest.Wait()
	})
}

func TestCaughtUpIsNotSaidByALoopThatHasReadNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := newScript(step{from: 0, to: 5, caughtUp: true})
		c := newConsumer(t, src, consumer.StopAtTail())
		if _, err := drain(t.Context(), c); err != nil || !c.Stats().CaughtUp {
			t.Fatalf("%v, caught up %t", err, c.Stats().CaughtUp)
		}
		ctx, cancel := context.WithCancel(t.Context())
		go drain(ctx, c)
		if synctest.Wait(); c.Stats().CaughtUp {
			t.Error("the second loop is caught up before it has read anything")
		}
		cancel()
		synctest.Wait()
	})
}

func TestEndFromAnOpeningIsNotTakenForTheEndOfTheStream(t *testing.T) {
	c := newConsumer(t, newScript(step{open: io.EOF}))
	if got, err := drain(t.Context(), c); got != nil || err == nil {
		t.Errorf("got %v and %v, want an error: nothing was read", got, err)
	}
}
