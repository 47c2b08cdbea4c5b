package s2_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// quick makes heartbeats come so often that a reader at the tail soon waits without a session.
var quick = s2test.Heartbeat(2*time.Millisecond, 5*time.Millisecond)

// A sleeper is a reader that waits without a session.
type sleeper struct {
	backend.Notifier
	woken chan struct{} // closed by the call of its function
}

// sleep opens a reader at a place, and reads the rest of the stream, and then the heartbeats until the reader needs no Read. A connection
// may fail on a busy machine, and then sleep begins anew.
func sleep(t testing.TB, st *s2.Stream, from backend.Offset) *sleeper {
	t.Helper()
	s, err := persist(t.Context(), func() (*sleeper, error) {
		s, err := openSleeper(t.Context(), st, from)
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = s.Close() })
		return s, s.readUntilAsleep(t)
	})
	check(t, err)
	return s
}

// openSleeper opens a reader over HTTP/2. On a busy machine, the first session of a client may fail over HTTP/2, and the reader then uses
// events and cannot sleep.
func openSleeper(ctx context.Context, st *s2.Stream, from backend.Offset) (*sleeper, error) {
	for {
		r, err := st.OpenReader(ctx, from)
		if err != nil {
			return nil, err
		}
		if n, ok := r.(backend.Notifier); ok {
			return &sleeper{n, nil}, nil
		}
		_ = r.Close()
	}
}

// awake opens a reader at the beginning of the stream.
func awake(t testing.TB, st *s2.Stream) *sleeper {
	t.Helper()
	s, err := persist(t.Context(), func() (*sleeper, error) { return openSleeper(t.Context(), st, backend.Earliest) })
	check(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// again reads until the reader waits without a session again.
func (s *sleeper) again(t testing.TB) {
	t.Helper()
	check(t, s.readUntilAsleep(t))
}

func (s *sleeper) readUntilAsleep(t testing.TB) error {
	for {
		b, err := s.Read(t.Context())
		if err != nil {
			return err
		}
		if b.CaughtUp && s.waits(t) {
			return nil
		}
	}
}

// waits reports whether the reader waits without a session from here on.
func (s *sleeper) waits(t testing.TB) bool {
	woken := make(chan struct{})
	var calls atomic.Int64
	if s.Notify(func() {
		if calls.Add(1) > 1 {
			t.Error("the function of Notify was called twice")
			return
		}
		close(woken)
	}) {
		return false
	}
	s.woken = woken
	return true
}

// sleeping makes a server, and a stream with one record and a reader that waits behind the record without a session.
func sleeping(t *testing.T, server []s2test.Option, opts ...s2.Option) (*s2test.Server, *s2.Client, *s2.Stream, *sleeper) {
	t.Helper()
	srv := s2test.New(t, append([]s2test.Option{s2test.Basin(basinName, true), quick}, server...)...)
	c := dial(t, srv, append([]s2.Option{s2.ShortSleep(0)}, opts...)...)
	st := c.Basin(basinName).Stream(streamName())
	put(t, st, "a")
	s := sleep(t, st, backend.Earliest)
	await(func() bool { return srv.Stats().Open == 1 }) // the end of the session reaches the server later
	return srv, c, st, s
}

// await returns when a condition of the server holds. If it never holds, the test times out.
func await(holds func() bool) {
	for !holds() {
		time.Sleep(time.Millisecond)
	}
}
