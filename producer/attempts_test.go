package producer_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/producer"
)

func TestAttemptsAndBackoff(t *testing.T) {
	for name, c := range map[string]struct {
		opts     []producer.Option
		openings int
		from, to time.Duration
	}{
		"the default":      {nil, 13, 15 * time.Second, time.Minute},
		"one attempt":      {[]producer.Option{producer.Attempts(1)}, 1, 0, 0},
		"three, no waits":  {[]producer.Option{producer.Attempts(3), producer.Backoff(0, 0)}, 3, 0, 0},
		"three, slow ones": {[]producer.Option{producer.Attempts(3), producer.Backoff(time.Minute, time.Hour)}, 3, 90 * time.Second, 3 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sink := backendtest.NewFlakySink(memory.New(), backendtest.Every(backendtest.OnOpen, 1, backendtest.Fail(backend.ErrTransient)))
				begun := time.Now()
				_, err := producer.New(t.Context(), sink, text(), c.opts...)
				took := time.Since(begun)
				if !errors.Is(err, backend.ErrTransient) || sink.Calls(backendtest.OnOpen) != c.openings || took < c.from || took > c.to {
					t.Errorf("%d openings in %v, %v", sink.Calls(backendtest.OnOpen), took, err)
				}
			})
		})
	}
}

// A session that is lost is the one attempt, when there is but one.
func TestOneAttemptEndsWithItsSession(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(), backendtest.Nth(backendtest.OnSend, 1, backendtest.DropBefore(nil)))
		p := open(t, sink, producer.Attempts(1))
		r := enqueue(t, p, "a")[0]
		if _, err := r.Wait(t.Context()); !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("%v, want that its fate is unknown", err)
		}
		if err := p.Close(); err == nil || sink.Calls(backendtest.OnOpen) != 1 {
			t.Errorf("%v after %d openings", err, sink.Calls(backendtest.OnOpen))
		}
	})
}

// Openings that failed count until something was acknowledged. A store that lets every second opening succeed, and stores nothing,
// is given up after as many attempts as a store that refuses every opening.
func TestAGoodOpeningIsNoProgress(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(),
			backendtest.Every(backendtest.OnOpen, 2, backendtest.Fail(backend.ErrTransient)),
			backendtest.Every(backendtest.OnSend, 1, backendtest.DropBefore(nil)))
		p := open(t, sink, producer.Attempts(4))
		r := enqueue(t, p, "a")[0]
		if _, err := r.Wait(t.Context()); err == nil || !strings.Contains(err.Error(), "gave up after 4 attempts") {
			t.Error(err)
		}
		if n := sink.Calls(backendtest.OnOpen); n != 4 { // good, lost, failed, good, lost, failed
			t.Errorf("%d openings, want 4", n)
		}
		if err := p.Close(); err == nil {
			t.Error("Close has nothing to say")
		}
	})
}

// A store that takes everything and acknowledges nothing is given up, however long each session lasts; one that was idle
// for a day before it fell silent has all its attempts.
func TestASilentStoreIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(), backendtest.Every(backendtest.OnSend, 1, backendtest.Stall()))
		p := open(t, sink, producer.AckTimeout(time.Minute), producer.Attempts(4))
		<-time.After(24 * time.Hour)
		begun := time.Now()
		r := enqueue(t, p, "a")[0]
		_, err := r.Wait(t.Context())
		if took := time.Since(begun); !errors.Is(err, backend.ErrIndeterminate) || took < 4*time.Minute || took > 5*time.Minute || sink.Calls(backendtest.OnOpen) != 5 {
			t.Errorf("%v after %v and %d openings, want one of the idle day, and four of a minute each", err, took, sink.Calls(backendtest.OnOpen))
		}
		if err := p.Close(); err == nil {
			t.Error("Close has nothing to say")
		}
	})
}

func TestAttemptsThatAreNone(t *testing.T) {
	for want, o := range map[string]producer.Option{
		"Attempts(0)":     producer.Attempts(0),
		"Backoff(-1ns, ":  producer.Backoff(-1, 1),
		"Backoff(2s, 1s)": producer.Backoff(2*time.Second, time.Second),
	} {
		if _, err := producer.New(t.Context(), memory.New(), text(), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want one that says %s", err, want)
		}
	}
}
