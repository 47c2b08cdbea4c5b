package producer_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/producer"
)

// oneEach makes every record a batch, so that faults hit where a test says.
var oneEach = producer.BatchRecords(1)

func TestLostConnectionsLoseAndReorderNothing(t *testing.T) {
	for name, c := range map[string]struct {
		effect backendtest.Effect
		dedup  bool
	}{
		"before the store took it":                      {backendtest.DropBefore(nil), false},
		"after the store took it":                       {backendtest.DropAfter(nil), false},
		"after the store took it, which knows a resend": {backendtest.DropAfter(nil), true},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := memory.New()
				sink := backendtest.NewFlakySink(s, backendtest.Every(backendtest.OnSend, 7, c.effect))
				sink.Dedup = c.dedup
				p := open(t, sink, oneEach)
				enqueue(t, p, numbered(100)...)
				closeNow(t, p)
				got := values(s)
				if !slices.Equal(firsts(got), numbered(100)) {
					t.Errorf("first copies are %v", firsts(got))
				}
				if c.dedup && len(got) != 100 {
					t.Errorf("%d records stored, want each once", len(got))
				}
				if p.Stats().Resent == 0 {
					t.Error("nothing was resent: the faults did not hit")
				}
			})
		})
	}
}

func TestRandomFaultsLoseAndReorderNothing(t *testing.T) {
	for range 20 {
		seed := rand.Uint64()
		bubble(t, func(t *testing.T) {
			s := memory.New()
			sink := backendtest.NewFlakySink(s, backendtest.Random(seed, 0.1))
			p, err := producer.New(t.Context(), sink, text(), producer.BatchRecords(5))
			for err != nil { // an unlucky seed
				p, err = producer.New(t.Context(), sink, text(), producer.BatchRecords(5))
			}
			var wg sync.WaitGroup
			for g := range 4 {
				wg.Go(func() {
					for i := range 100 {
						if _, err := p.Enqueue(t.Context(), fmt.Sprintf("%d:%d", g, i)); err != nil {
							t.Errorf("seed %d: enqueue: %v", seed, err)
							return
						}
					}
				})
			}
			wg.Wait()
			if err := p.Close(); err != nil {
				t.Errorf("seed %d: close: %v", seed, err)
			}
			for g := range 4 {
				mine := slices.DeleteFunc(firsts(values(s)), func(v string) bool { return !strings.HasPrefix(v, fmt.Sprintf("%d:", g)) })
				if len(mine) != 100 || !slices.IsSortedFunc(mine, func(a, b string) int { return len(a) - len(b) }) {
					t.Errorf("seed %d: goroutine %d: %d of 100 records, in order: %v", seed, g, len(mine), mine)
				}
			}
		})
	}
}

func TestSeqIsDenseOverSessions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		sink := backendtest.NewFlakySink(s, backendtest.Rotate(3)) // it checks seqs strictly itself
		p := open(t, sink, oneEach)
		for _, v := range numbered(20) {
			enqueue(t, p, v)
		}
		closeNow(t, p)
		wantLog(t, s, numbered(20)...)
		if n := sink.Calls(backendtest.OnOpen); n < 7 {
			t.Errorf("%d sessions, want at least 7", n)
		}
	})
}

func TestAcksBeforeTheReasonCount(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		// The delay holds the first batch until all records are enqueued, because a stopped producer accepts no more.
		p := open(t, backendtest.NewFlakySink(s,
			backendtest.Nth(backendtest.OnSend, 1, backendtest.Delay(time.Second)),
			backendtest.Nth(backendtest.OnSend, 3, backendtest.DropBefore(errors.New("wires cut")))), oneEach)
		rs := enqueue(t, p, "0", "1", "2", "3")
		for i, r := range rs {
			if _, err := wait(t, r); (err == nil) != (i < 2) {
				t.Errorf("record %d: %v", i, err)
			}
		}
		if err := p.Close(); err == nil {
			t.Error("Close says nothing of the fatal error")
		}
		wantLog(t, s, "0", "1")
	})
}

func TestAnUnclassifiedErrorIsFatal(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cause := errors.New("out of paper")
		s := memory.New()
		stall := make(chan struct{})
		p := open(t, backendtest.NewFlakySink(s,
			func(c backendtest.Call) backendtest.Effect {
				if c.Op == backendtest.OnSend && c.N == 2 {
					<-stall
					return backendtest.DropAfter(cause)
				}
				return backendtest.Effect{}
			}), oneEach, producer.BufferBytes(500))
		rs := enqueue(t, p, "stored", "taken", "never taken")
		blocked := make(chan error)
		go func() {
			_, err := p.Enqueue(t.Context(), strings.Repeat("x", 300))
			blocked <- err
		}()
		if _, err := wait(t, rs[0]); err != nil {
			t.Fatal(err)
		}
		close(stall)
		if err := <-blocked; !errors.Is(err, cause) {
			t.Errorf("a blocked caller got %v", err)
		}
		_, err := wait(t, rs[1])
		if !errors.Is(err, cause) || !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("the record that was taken: %v, want the cause and ErrIndeterminate", err)
		}
		_, err = wait(t, rs[2])
		if !errors.Is(err, cause) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("the record that was not: %v, want the cause alone", err)
		}
		if _, err := p.Enqueue(t.Context(), "later"); !errors.Is(err, cause) {
			t.Errorf("Enqueue later: %v", err)
		}
		if err := p.Flush(t.Context()); !errors.Is(err, cause) {
			t.Errorf("Flush: %v", err)
		}
		for range 2 {
			if err := p.Close(); !errors.Is(err, cause) {
				t.Errorf("Close: %v", err)
			}
		}
		var left []string
		for r, stored := range p.Unacked() {
			left = append(left, fmt.Sprint(string(r.Value), " ", stored))
		}
		if !slices.Equal(left, []string{"taken true", "never taken false"}) {
			t.Errorf("Unacked: %q", left)
		}
	})
}

func TestResendingUnackedThroughANewProducer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		sink := backendtest.NewFlakySink(s, backendtest.Nth(backendtest.OnSend, 4, backendtest.DropBefore(errors.New("burnt"))))
		p := open(t, sink, oneEach)
		var accepted []string
		for _, v := range numbered(10) {
			if _, err := p.Enqueue(t.Context(), v); err == nil {
				accepted = append(accepted, v)
			}
		}
		if err := p.Close(); err == nil {
			t.Fatal("Close says nothing of the fatal error")
		}
		next := open(t, sink)
		for r := range p.Unacked() {
			if _, err := next.EnqueueEncoded(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		closeNow(t, next)
		wantLog(t, s, accepted...)
	})
}

// Its last batch may be stored, but no session that it opens will ever be let in again.
func TestAFencedProducerStopsThoughABatchMayBeStored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(),
			backendtest.Nth(backendtest.OnSend, 1, backendtest.DropAfter(fmt.Errorf("%w: %w", backend.ErrFenced, backend.ErrIndeterminate))))
		p := open(t, sink)
		if err := p.Send(t.Context(), "a"); !errors.Is(err, backend.ErrFenced) || !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Send: %v", err)
		}
		if n := sink.Calls(backendtest.OnOpen); n != 1 {
			t.Errorf("%d sessions, want the first alone", n)
		}
		if err := p.Close(); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestSeveralProducersOnOneSinkInTurnAtOnceAndAfterAFatalError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		sink := backendtest.NewFlakySink(s, func(c backendtest.Call) backendtest.Effect {
			if len(c.Records) > 0 && string(c.Records[0].Value) == "fatal" {
				return backendtest.DropBefore(errors.New("fatal"))
			}
			return backendtest.Effect{}
		})
		for _, v := range []string{"a", "b"} { // in turn
			p := open(t, sink)
			enqueue(t, p, v)
			closeNow(t, p)
		}
		p, q := open(t, sink), open(t, sink) // at once
		for i, one := range []*producer.Producer[string]{p, q, p, q} {
			if err := one.Send(t.Context(), fmt.Sprint(i)); err != nil {
				t.Errorf("send %d: %v", i, err)
			}
		}
		if err := p.Send(t.Context(), "fatal"); err == nil {
			t.Error("the fault did not hit")
		}
		if err := q.Send(t.Context(), "c"); err != nil {
			t.Errorf("the other producer suffers too: %v", err)
		}
		r := open(t, sink) // after a fatal error
		enqueue(t, r, "d")
		closeNow(t, r)
		closeNow(t, q)
		if err := p.Close(); err == nil {
			t.Error("Close says nothing of the fatal error")
		}
		wantLog(t, s, "a", "b", "0", "1", "2", "3", "c", "d")
	})
}

func TestAtMostOnceStopsWhereAResendMightRepeat(t *testing.T) {
	for name, c := range map[string]struct {
		effect backendtest.Effect
		dedup  bool
		fails  bool
	}{
		"not stored":                        {backendtest.DropBefore(fmt.Errorf("%w: reset", backend.ErrTransient)), false, false},
		"may be stored":                     {backendtest.DropAfter(nil), false, true},
		"may be stored, and a resend known": {backendtest.DropAfter(nil), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := memory.New()
				sink := backendtest.NewFlakySink(s, backendtest.Nth(backendtest.OnSend, 2, c.effect))
				sink.Dedup = c.dedup
				p := open(t, sink, oneEach, producer.AtMostOnce())
				rs := enqueue(t, p, "0", "1")
				_, err := wait(t, rs[1])
				if c.fails != errors.Is(err, backend.ErrIndeterminate) {
					t.Errorf("the receipt says %v", err)
				}
				if err := p.Close(); c.fails != errors.Is(err, backend.ErrIndeterminate) {
					t.Errorf("Close says %v", err)
				}
				wantLog(t, s, "0", "1")
			})
		})
	}
}

func TestIdleForADayOfRotations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		lives := func(c backendtest.Call) backendtest.Effect {
			if c.Op == backendtest.OnOpen {
				return backendtest.Lifetime(15*time.Minute, nil)
			}
			return backendtest.Effect{}
		}
		sink := backendtest.NewFlakySink(s, lives)
		p := open(t, sink)
		for hour := range 24 {
			<-time.After(time.Hour)
			if err := p.Send(t.Context(), fmt.Sprint(hour)); err != nil {
				t.Fatalf("hour %d: %v", hour, err)
			}
		}
		closeNow(t, p)
		wantLog(t, s, numbered(24)...)
		if n := sink.Calls(backendtest.OnOpen); n != 25 {
			t.Errorf("%d openings: a lost session is to be opened again only when something waits for it, so want 25", n)
		}
	})
}

func TestABusyProducerOutlivesALifetimeOfRotations(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		sink := backendtest.NewFlakySink(s, backendtest.Rotate(1)) // every batch ends its session
		p := open(t, sink)
		for _, v := range numbered(100) {
			if err := p.Send(t.Context(), v); err != nil {
				t.Fatalf("%s: %v", v, err)
			}
		}
		closeNow(t, p)
		wantLog(t, s, numbered(100)...)
	})
}

func TestAServerThatAcceptsAndDropsIsNotHammered(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(), func(c backendtest.Call) backendtest.Effect {
			switch {
			case c.Op == backendtest.OnOpen:
				return backendtest.Lifetime(0, nil)
			case c.Op == backendtest.OnSend:
				return backendtest.Fail(nil)
			}
			return backendtest.Effect{}
		})
		began := time.Now()
		p := open(t, sink, producer.Attempts(13))
		r := enqueue(t, p, "a")[0]
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		if _, err := r.Wait(ctx); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("the receipt: %v, want that the producer has stopped", err)
		}
		took, n := time.Since(began), sink.Calls(backendtest.OnOpen)
		if n > 15 || took < 15*time.Second {
			t.Errorf("%d openings in %v", n, took)
		}
		if err := p.Close(); err == nil {
			t.Error("Close says nothing")
		}
	})
}

type busy struct{}

func (busy) Error() string             { return "busy" }
func (busy) RetryAfter() time.Duration { return time.Minute }

func TestBackoffIsNeverBelowRetryAfter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, backendtest.NewFlakySink(s,
			backendtest.Nth(backendtest.OnSend, 1, backendtest.DropBefore(fmt.Errorf("%w: %w", backend.ErrTransient, busy{})))))
		began := time.Now()
		if err := p.Send(t.Context(), "a"); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < time.Minute {
			t.Errorf("tried again after %v, the store asked for a minute", d)
		}
		closeNow(t, p)
	})
}

func TestAckTimeoutEndsASessionThatOwesAnAck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, backendtest.NewFlakySink(s, backendtest.Nth(backendtest.OnSend, 2, backendtest.Stall())),
			oneEach, producer.AckTimeout(10*time.Second))
		<-time.After(time.Hour) // idleness owes nothing
		began := time.Now()
		if err := p.Send(t.Context(), "a", "b"); err != nil {
			t.Fatal(err)
		}
		if d := time.Since(began); d < 10*time.Second || d > 12*time.Second {
			t.Errorf("took %v, want the timeout and a backoff", d)
		}
		closeNow(t, p)
		wantLog(t, s, "a", "b")
	})
}

// A mute sink stores the first batches of its first session. Then Send fails, and Recv does not say why.
type mute struct {
	backend.Sink
	batches int
}

func (m mute) NewAppender(f backend.Format) backend.Appender {
	return &muteAppender{Appender: m.Sink.NewAppender(f), left: m.batches}
}

type muteAppender struct {
	backend.Appender
	opened, left int
}

func (a *muteAppender) Open(ctx context.Context) (backend.Session, error) {
	s, err := a.Appender.Open(ctx)
	if a.opened++; a.opened > 1 {
		return s, err
	}
	return &muteSession{s, a}, err
}

type muteSession struct {
	backend.Session
	appender *muteAppender
}

func (s *muteSession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	if s.appender.left == 0 {
		return backend.ErrTransient
	}
	s.appender.left--
	return s.Session.Send(ctx, seq, recs)
}

// The contract of a session asks Recv for the reason in bounded time. A backend with a mistake must not block the producer for ever.
func TestAckTimeoutEndsASessionThatDoesNotSayWhySendFailed(t *testing.T) {
	for batches := range 3 {
		bubble(t, func(t *testing.T) {
			s := memory.New()
			p := open(t, mute{s, batches}, oneEach, producer.AckTimeout(10*time.Second), producer.IdleTimeout(0))
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if err := p.Send(ctx, "a", "b", "c"); err != nil {
				t.Fatalf("Send failed behind %d batches: %v", batches, err)
			}
			closeNow(t, p)
			wantLog(t, s, "a", "b", "c")
		})
	}
}

func TestAckTimeoutRestartsAtEveryAck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		sink := backendtest.NewFlakySink(s, func(c backendtest.Call) backendtest.Effect {
			if c.Op == backendtest.OnSend {
				return backendtest.Delay(time.Second) // a slow and steady store
			}
			return backendtest.Effect{}
		})
		p := open(t, sink, oneEach, producer.AckTimeout(3*time.Second), producer.DrainTimeout(time.Minute))
		enqueue(t, p, numbered(20)...)
		closeNow(t, p)
		wantLog(t, s, numbered(20)...)
		if n := sink.Calls(backendtest.OnOpen); n != 1 {
			t.Errorf("%d sessions, want 1: progress restarts the timeout", n)
		}
	})
}

func TestASinkThatLiesAboutAcksIsFatal(t *testing.T) {
	for name, forge := range map[string]func(backend.Ack) backend.Ack{
		"beyond what was sent": func(a backend.Ack) backend.Ack { a.Seq += 5; return a },
		"going back":           func(a backend.Ack) backend.Ack { a.Seq--; return a },
		"beyond any number":    func(a backend.Ack) backend.Ack { a.Seq += 1<<63 - 1; return a },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := open(t, backendtest.NewFlakySink(memory.New(),
					backendtest.Nth(backendtest.OnAck, 2, backendtest.ForgeAck(forge))), oneEach)
				enqueue(t, p, "0")
				if err := p.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				enqueue(t, p, "1")
				if err := p.Close(); err == nil || !strings.Contains(err.Error(), "acknowledged seq") {
					t.Errorf("Close: %v, want the ack that cannot be", err)
				}
			})
		})
	}
}
