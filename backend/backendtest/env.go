package backendtest

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
)

// env is the environment of a rule: a fresh stream, and methods that call the backend and end the test when a call fails or
// hangs.
type env struct {
	tester
	Target
	h     Harness
	dice  *rand.Rand // seeded, and the seed is logged
	count int        // number of values made
	calls int        // number of calls of the backend
}

// mostCalls is the largest number of calls in a rule, and far more than any rule needs. A store that makes no progress and
// always returns at once would otherwise keep a rule busy for ever in a bubble, where the clock stands still.
const mostCalls = 20_000

func newEnv(t tester, h Harness) *env {
	t.Helper()
	seed := h.Seed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	e := &env{tester: t, h: h, dice: rand.New(rand.NewPCG(seed, 0))}
	e.Target = h.Open(t)
	if e.Sink == nil || e.Source == nil && e.Stored == nil {
		t.Fatal("the harness gives no Sink, or neither Source nor Stored")
	}
	return e
}

// need skips a rule that the store cannot show, with the reason.
func (e *env) need(ok bool, reason string) {
	e.Helper()
	if !ok {
		e.Skip("left out: " + reason)
	}
}

// needSource skips a rule of reading for a store that can only be written.
func (e *env) needSource() {
	e.Helper()
	e.need(e.Source != nil, "the store can only be written")
}

// within runs f, which makes a single call of the backend, and ends the test when f does not return. A call that hangs is a bug
// of the backend; we cannot end its goroutine.
func (e *env) within(what string, f func()) {
	e.Helper()
	if e.calls++; e.calls > mostCalls {
		e.Fatalf("%d calls and no end, the last one is %s", mostCalls, what)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	e.await(what, done)
}

// await waits for done, and ends the test when Patience is over.
func (e *env) await(what string, done <-chan struct{}) {
	e.Helper()
	timeout := time.NewTimer(e.h.Patience)
	defer timeout.Stop()
	select {
	case <-done:
	case <-timeout.C:
		e.Fatalf("%s has not returned after %v", what, e.h.Patience)
	}
}

// begin starts f in a goroutine. end waits until f has returned; ended reports whether f has returned. In a bubble, begin
// returns when f is blocked or has returned.
func (e *env) begin(what string, f func()) (end func(), ended func() bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	e.waitIdle()
	end = func() {
		e.Helper()
		e.await(what, done)
	}
	ended = func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}
	return end, ended
}

// waitIdle waits until every goroutine is blocked. Only a bubble can tell, so outside of a bubble waitIdle does nothing.
func (e *env) waitIdle() {
	if e.h.Bubble {
		synctest.Wait()
	}
}

func (e *env) appender() backend.Appender { return e.Sink.NewAppender(e.h.Format) }

func (e *env) open(a backend.Appender) backend.Session {
	e.Helper()
	s, err := e.tryOpen(e.Context(), a)
	if err != nil {
		e.Fatalf("open: %v", err)
	}
	return s
}

func (e *env) tryOpen(ctx context.Context, a backend.Appender) (s backend.Session, err error) {
	e.Helper()
	e.within("Open", func() { s, err = a.Open(ctx) })
	if err == nil {
		e.cleanup(s)
	}
	return s, err
}

func (e *env) trySend(ctx context.Context, s backend.Session, seq uint64, recs []backend.Record) (err error) {
	e.Helper()
	e.within("Send", func() { err = s.Send(ctx, seq, recs) })
	return err
}

func (e *env) send(s backend.Session, seq uint64, recs []backend.Record) {
	e.Helper()
	if err := e.trySend(e.Context(), s, seq, recs); err != nil {
		_, reason := e.drain(s)
		e.Fatalf("send of batch %d: %v; Recv says %v", seq, err, reason)
	}
}

func (e *env) tryRecv(ctx context.Context, s backend.Session) (ack backend.Ack, err error) {
	e.Helper()
	e.within("Recv", func() { ack, err = s.Recv(ctx) })
	return ack, err
}

func (e *env) recv(s backend.Session, seq uint64) backend.Ack {
	e.Helper()
	ack, err := e.tryRecv(e.Context(), s)
	if err != nil {
		e.Fatalf("recv of the ack of batch %d: %v", seq, err)
	}
	if ack.Seq != seq {
		e.Fatalf("recv: ack of batch %d, want %d", ack.Seq, seq)
	}
	return ack
}

// reason receives why the session ended. An ack is an error, because no batch was taken that could be acknowledged.
func (e *env) reason(s backend.Session) error {
	e.Helper()
	ack, err := e.tryRecv(e.Context(), s)
	if err == nil {
		e.Fatalf("recv: the ack of batch %d, which must not be taken", ack.Seq)
	}
	return err
}

// drain receives acks until Recv returns the reason for the end of the session.
func (e *env) drain(s backend.Session) (acks []backend.Ack, reason error) {
	e.Helper()
	for {
		ack, err := e.tryRecv(e.Context(), s)
		if err != nil {
			return acks, err
		}
		if n := len(acks); n > 0 && ack.Seq <= acks[n-1].Seq {
			e.Fatalf("recv: ack of batch %d after the ack of batch %d", ack.Seq, acks[n-1].Seq)
		}
		acks = append(acks, ack)
	}
}

// cleanup closes c at the end of the test, for rules that fail before they close c. Close may hang, so we wait with a limit.
func (e *env) cleanup(c interface{ Close() error }) {
	e.Cleanup(func() {
		done := make(chan struct{})
		go func() {
			defer close(done)
			c.Close()
		}()
		timeout := time.NewTimer(e.h.Patience)
		defer timeout.Stop()
		select {
		case <-done:
		case <-timeout.C: // the rule about Close reports a Close that hangs
		}
	})
}

func (e *env) close(what string, c interface{ Close() error }) {
	e.Helper()
	var err error
	e.within("Close of the "+what, func() { err = c.Close() })
	if err != nil {
		e.Errorf("close of the %s: %v", what, err)
	}
}

// wantIs checks that err wraps one of the sentinels.
func (e *env) wantIs(what string, err error, sentinels ...error) {
	e.Helper()
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return
		}
	}
	e.Errorf("%s: %v; want one of %q", what, err, sentinels)
}

// wantRetry checks that err allows another try, because the failure was not the fault of the caller's records.
func (e *env) wantRetry(what string, err error) {
	e.Helper()
	e.wantIs(what, err, backend.ErrTransient, backend.ErrIndeterminate)
}
