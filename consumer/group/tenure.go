package group

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/internal/backoff"
	"github.com/headrace/headrace/internal/inhand"
)

// A tenure is the time in which this member works on a stream: from the attempt to acquire the lease until the lease is
// released. Its hold has two contexts: reading stops with Reading, and the work in hand stops with Work.
type tenure struct {
	stream string
	hold   *inhand.Hold
	timers [2]*time.Timer // end Reading, and Work, when the lease was not renewed in time

	// The fields below belong to the lock of the member.
	acquired bool                   // the lease is renewed in every round
	leaving  bool                   // the member gives the stream away
	unused   *checkpoint.Checkpoint // what the last acquisition returned, until a loop begins with it
}

func newTenure(ctx context.Context, stream string) *tenure {
	t := &tenure{stream: stream, hold: inhand.New(ctx)}
	for i := range t.timers {
		t.timers[i] = time.AfterFunc(never, func() { t.hold.Over() })
		t.timers[i].Stop()
	}
	return t
}

const never = 1<<63 - 1

// errStuck is the cause of a stream whose function does not return.
var errStuck = errors.New("the function has not returned long after its context ended")

// serve is the goroutine of a tenure.
func (m *member[T]) serve(t *tenure) {
	defer m.over(t)
	if !m.begin(t) {
		return
	}
	err := m.work(t)
	switch {
	case err == nil || err == context.Canceled && t.hold.Reading.Err() != nil:
	case t.hold.Reading.Err() == nil || err == errStuck:
		m.fail(fmt.Errorf("group: %s: stream %s: %w", m.g.name, t.stream, err))
	default:
		m.endedBadly(t, err)
	}
	m.release(t)
}

// begin takes the lease for a new tenure, and reports whether the member has the lease.
func (m *member[T]) begin(t *tenure) bool {
	ctx := t.hold.Reading
	cp, ok, err := m.acquire(ctx, t)
	switch {
	case err != nil && !errors.Is(err, backend.ErrTransient):
		m.fail(fmt.Errorf("group: %s: stream %s: %w", m.g.name, t.stream, err))
	case err != nil:
		m.log.WarnContext(ctx, "group: could not acquire the lease on a stream", "stream", t.stream, "err", err)
	case ok:
		m.mu.Lock()
		t.acquired, t.unused = true, &cp
		m.mu.Unlock()
		m.log.InfoContext(ctx, "group: acquired the lease on a stream", "stream", t.stream)
	}
	return ok && err == nil
}

// acquire takes the lease, or takes it again.
func (m *member[T]) acquire(ctx context.Context, t *tenure) (checkpoint.Checkpoint, bool, error) {
	// An acquisition waits for transactions with SaveTx. After a wait of more than half a lease, the lease could be over
	// when the member learns of the acquisition.
	ctx, cancel := context.WithTimeout(ctx, m.g.cfg.lease/2)
	defer cancel()
	begun := time.Now()
	cp, ok, err := m.g.leases.Acquire(ctx, m.g.name, m.id, t.stream, m.g.cfg.lease)
	if ok && err == nil {
		m.prolong(t, begun)
	}
	return cp, ok, err
}

// prolong makes the tenure end in time when no further renewal succeeds: reading ends 2 times DrainTimeout before the end of the
// lease, and the work in hand 1 DrainTimeout before, which leaves a DrainTimeout for the last save. The time of the lease counts
// from begun, the beginning of the call for the renewal. The database counts from a later moment, so the lease lasts at least as
// long.
func (m *member[T]) prolong(t *tenure, begun time.Time) {
	over := begun.Add(m.g.cfg.lease)
	read, work := over.Add(-2*m.g.cfg.drain), over.Add(-m.g.cfg.drain)
	t.hold.Until(read, work)
	t.timers[0].Reset(time.Until(read))
	t.timers[1].Reset(time.Until(work))
}

// work runs the user's function until the stream needs no more work here, and returns why. The error is nil only after
// the end of Reading.
func (m *member[T]) work(t *tenure) error {
	retry := backoff.Default()
	for failures := 1; ; failures++ {
		begun := time.Now()
		err := m.callOnce(t)
		if t.hold.Reading.Err() != nil {
			return err
		}
		if retry.Progress(time.Since(begun)) {
			failures = 1
		}
		pause, again := m.pauseAfter(err, retry.Delay(failures, err))
		switch {
		case err == nil: // the member keeps the lease, so that nobody else reads to the end again
			m.log.InfoContext(t.hold.Reading, "group: a stream needs no more work", "stream", t.stream)
			<-t.hold.Reading.Done()
			return nil
		case !again:
			return err
		}
		level := slog.LevelWarn
		if failures > 1 { // an outage is told once, and not with every attempt
			level = slog.LevelDebug
		}
		m.log.Log(t.hold.Reading, level, "group: the work on a stream failed and begins again", "stream", t.stream, "again_in", pause, "err", err)
		if !backoff.Sleep(t.hold.Reading, pause) {
			return nil
		}
	}
}

// pauseAfter says whether the user's function is called again after it returned err, and when.
func (m *member[T]) pauseAfter(err error, delay time.Duration) (pause time.Duration, again bool) {
	switch {
	case errors.Is(err, backend.ErrFenced):
		// If another member of the group has the lease, the next renewal ends Reading during the pause. Otherwise
		// somebody outside the group has claimed the checkpoint, and the pause keeps the two from a circle.
		return m.g.cfg.lease, true
	case errors.Is(err, backend.ErrNotFound) && m.g.streams.list != nil:
		// The stream was deleted. If the next list does not show the stream any more, Reading ends.
		return m.g.streams.every, true
	}
	return delay, errors.Is(err, backend.ErrTransient)
}

var errGoexit = errors.New("the function called runtime.Goexit, as FailNow of a test does, and did not return")

// guarded runs the user's function, and turns a panic into an error. In this goroutine the caller cannot recover, so the panic would
// end the process.
func (m *member[T]) guarded(t *tenure, result chan<- error) {
	err := errGoexit
	defer func() {
		if p := recover(); p != nil {
			err = &consumer.PanicError{Value: p, Stack: debug.Stack()}
		}
		result <- err
	}()
	err = m.call(t)
}

// call opens the stream and runs the user's function.
func (m *member[T]) call(t *tenure) error {
	c, err := m.g.consumer(t.stream, &places[T]{Store: m.g.leases, m: m, t: t})
	if err != nil {
		return err
	}
	return m.f(t.hold.Reading, t.stream, c)
}

// callOnce runs the user's function once, in a goroutine of its own. After the end of Reading, callOnce waits 1 DrainTimeout, ends
// Work, waits 3 times DrainTimeout, and returns errStuck when the function has not returned.
func (m *member[T]) callOnce(t *tenure) error {
	result := make(chan error, 1)
	go m.guarded(t, result)
	select {
	case err := <-result:
		return err
	case <-t.hold.Reading.Done():
	}
	drain := m.g.cfg.drain
	for _, wait := range []time.Duration{drain, 3 * drain} {
		timer := time.NewTimer(wait)
		select {
		case err := <-result:
			timer.Stop()
			return err
		case <-timer.C:
			t.hold.Kill()
		}
	}
	return errStuck
}

// consumer returns a consumer of the stream with places as its checkpoint store.
func (g *Group[T]) consumer(stream string, places checkpoint.Store) (*consumer.Consumer[T], error) {
	opts := append(g.cfg.consumer[:len(g.cfg.consumer):len(g.cfg.consumer)],
		consumer.Checkpoint(places, g.Key(stream)), consumer.DrainTimeout(g.cfg.drain))
	return consumer.New(g.streams.open(stream), g.codec, opts...)
}

// endedBadly logs an error after the end of Reading. The next owner repeats the records behind the last save, so the
// group goes on. At the end of the group the caller learns of the error.
func (m *member[T]) endedBadly(t *tenure, err error) {
	m.log.WarnContext(t.hold.Work, "group: a stream was stopped, and ended with an error", "stream", t.stream, "err", err)
	// After ErrFenced a newer owner has the stream, and nothing is lost. Nothing is lost either when the end of a context
	// has interrupted the work in hand.
	if errors.Is(err, backend.ErrFenced) || errors.Is(err, context.Canceled) {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ending {
		m.late = append(m.late, fmt.Errorf("group: %s: stream %s: %w", m.g.name, t.stream, err))
	}
}

// release gives the lease back. After a failure the lease ends by itself, because nobody renews the lease.
func (m *member[T]) release(t *tenure) {
	m.mu.Lock()
	t.acquired = false
	m.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.hold.Work), m.g.cfg.drain)
	defer cancel()
	if err := m.g.leases.Release(ctx, m.g.name, m.id, t.stream); err != nil {
		m.log.WarnContext(ctx, "group: could not release the lease on a stream; it ends by itself", "stream", t.stream, "err", err)
		return
	}
	m.log.InfoContext(ctx, "group: released the lease on a stream", "stream", t.stream)
}

// over forgets a tenure and wakes the member.
func (m *member[T]) over(t *tenure) {
	for _, timer := range t.timers {
		timer.Stop()
	}
	t.hold.Kill()
	m.mu.Lock()
	delete(m.held, t.stream)
	m.mu.Unlock()
	m.wake()
}
