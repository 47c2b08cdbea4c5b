package producer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/internal/goroutines"
	"github.com/headrace/headrace/producer"
)

// counted is a sink that counts its open sessions.
type counted struct {
	backend.Sink
	open atomic.Int64
}

func (c *counted) NewAppender(f backend.Format) backend.Appender {
	return countedAppender{c.Sink.NewAppender(f), c}
}

type countedAppender struct {
	backend.Appender
	sink *counted
}

func (a countedAppender) Open(ctx context.Context) (backend.Session, error) {
	s, err := a.Appender.Open(ctx)
	if err != nil {
		return nil, err
	}
	a.sink.open.Add(1)
	return &countedSession{Session: s, sink: a.sink}, nil
}

type countedSession struct {
	backend.Session
	sink   *counted
	closed atomic.Bool
}

func (s *countedSession) Close() error {
	if !s.closed.Swap(true) {
		s.sink.open.Add(-1)
	}
	return s.Session.Close()
}

func TestIdleSessionEndsAndTheNextRecordOpensOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stream := memory.New()
		sink := &counted{Sink: stream}
		var log bytes.Buffer
		ended := 0
		p := open(t, sink, producer.IdleTimeout(time.Minute), producer.Logger(slog.New(slog.NewTextHandler(&log, nil))),
			producer.Observe(producer.Hooks{
				SessionIdle: func(producer.SessionEvent) { ended++ },
				SessionLost: func(ev producer.SessionEvent) { t.Errorf("a session is lost: %v", ev.Err) },
			}))
		for round := range 3 {
			began := time.Now()
			if err := p.Send(t.Context(), numbered(3)[round]); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 0 {
				t.Errorf("the Send in round %d waited %v", round, took)
			}
			if n := sink.open.Load(); n != 1 {
				t.Errorf("%d sessions are open after the Send in round %d", n, round)
			}
			time.Sleep(2*time.Minute + time.Second)
			synctest.Wait()
			if n := sink.open.Load(); n != 0 {
				t.Errorf("%d sessions are open after the pause in round %d", n, round)
			}
		}
		if n := p.Stats().Sessions; n != 3 {
			t.Errorf("%d sessions were opened, want 3", n)
		}
		closeNow(t, p)
		wantLog(t, stream, numbered(3)...)
		if ended != 3 {
			t.Errorf("%d sessions ended as idle, want 3", ended)
		}
		if strings.Contains(log.String(), "level=WARN") {
			t.Errorf("an idle session is logged as a warning:\n%s", log.String())
		}
	})
}

func TestProducerWithoutSessionHasNoGoroutine(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stream := memory.New()
		p := open(t, stream)
		for round := range 3 {
			if err := p.Send(t.Context(), numbered(3)[round]); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			if n := goroutines.Of("producer"); n > 0 {
				t.Errorf("the producer has %d goroutines in round %d", n, round)
			}
		}
		closeNow(t, p)
		wantLog(t, stream, numbered(3)...)
	})
}

// What a producer without a session owes its callers is not lost with the session: a Flush returns the failures, and Close and
// Shutdown return at once and run the function that Started returned.
func TestProducerWithoutSessionEndsLikeAnyOther(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, end := range map[string]func(*producer.Producer[string]) error{
		"Close":                                (*producer.Producer[string]).Close,
		"Shutdown":                             func(p *producer.Producer[string]) error { return p.Shutdown(t.Context()) },
		"Flush before Close":                   func(p *producer.Producer[string]) error { return errors.Join(p.Flush(t.Context()), p.Close()) },
		"Shutdown with a context that is over": func(p *producer.Producer[string]) error { return p.Shutdown(ended) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				stopped := 0
				hooks := producer.Hooks{Started: func(func() producer.Stats) func(error) { return func(error) { stopped++ } }}
				sink := backendtest.NewFlakySink(memory.New(), backendtest.RefuseUnnamed(bad, backend.ErrRejected))
				p := open(t, sink, producer.Observe(hooks))
				enqueue(t, p, "0", "bad", "1")
				time.Sleep(3 * time.Minute)
				began := time.Now()
				if err := end(p); !errors.Is(err, backend.ErrRejected) || strings.Contains(err.Error(), "records refused") {
					t.Errorf("%v, want the refusal of one record", err)
				}
				<-p.Done()
				if took := time.Since(began); took > 0 {
					t.Errorf("the end took %v", took)
				}
				synctest.Wait()
				if stopped != 1 {
					t.Errorf("the producer has stopped %d times", stopped)
				}
			})
		})
	}
}

func TestSessionWithWorkStaysOpen(t *testing.T) {
	for name, test := range map[string]struct {
		option producer.Option
		pause  time.Duration
	}{
		"records come in time": {producer.IdleTimeout(time.Minute), 59 * time.Second},
		"no timeout":           {producer.IdleTimeout(0), time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				stream := memory.New()
				p := open(t, stream, test.option)
				for _, v := range numbered(20) {
					if err := p.Send(t.Context(), v); err != nil {
						t.Fatal(err)
					}
					time.Sleep(test.pause)
				}
				if n := p.Stats().Sessions; n != 1 {
					t.Errorf("%d sessions were opened, want 1", n)
				}
				closeNow(t, p)
				wantLog(t, stream, numbered(20)...)
			})
		})
	}
}

// Records that linger are work: the session waits for them. Otherwise each batch of a producer whose Linger is longer than its
// IdleTimeout would need an opening.
func TestSessionThatWaitsForLingeringRecordsIsNotIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stream := memory.New()
		p := open(t, stream, producer.IdleTimeout(time.Second), producer.Linger(time.Minute))
		for _, v := range numbered(5) {
			enqueue(t, p, v)
			time.Sleep(time.Minute)
			synctest.Wait()
		}
		if n := p.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions were opened, want 1", n)
		}
		closeNow(t, p)
		wantLog(t, stream, numbered(5)...)
	})
}

// The producer looks at its session once in each IdleTimeout. Looks at every nanosecond would keep a processor busy while records
// linger, and this test would not end.
func TestShortestIdleTimeoutIsAMillisecond(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, memory.New(), producer.IdleTimeout(time.Nanosecond), producer.Linger(10*time.Second))
		for _, v := range numbered(3) {
			receipt := enqueue(t, p, v)[0]
			time.Sleep(10 * time.Second)
			if _, err := receipt.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond / 2)
			if !p.Stats().Open {
				t.Error("the session has ended after half a millisecond")
			}
			time.Sleep(2 * time.Millisecond)
			if p.Stats().Open {
				t.Error("the session is open after 2.5 ms without work")
			}
		}
		closeNow(t, p)
	})
}

// While the store owes an ack, the session is not idle, however long the ack takes.
func TestSessionThatWaitsForAnAckIsNotIdle(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := newGated()
		p := open(t, sink, producer.IdleTimeout(time.Second), producer.AckTimeout(0))
		receipts := enqueue(t, p, "slow")
		time.Sleep(time.Hour)
		if n := p.Stats().Sessions; n != 1 {
			t.Errorf("%d sessions were opened while the ack was owed, want 1", n)
		}
		sink.acks <- 0
		if _, err := wait(t, receipts[0]); err != nil {
			t.Error(err)
		}
		closeNow(t, p)
	})
}

// Records that come at the very moment at which a session ends are stored once, and in order. Every second record opens a session,
// because three seconds before it are longer than an idle session lives. The next record comes when that session is about to end.
func TestRecordsAtTheMomentOfTheEndAreStoredOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stream := memory.New()
		p := open(t, stream, producer.IdleTimeout(time.Second), producer.Linger(0))
		sent := numbered(200)
		for i, v := range sent {
			enqueue(t, p, v)
			time.Sleep([]time.Duration{2 * time.Second, 3 * time.Second}[i%2])
		}
		closeNow(t, p)
		wantLog(t, stream, sent...)
		if n := p.Stats().Sessions; n < 100 {
			t.Errorf("%d sessions, want one at least for every second record", n)
		}
	})
}

// badClose is a sink whose sessions fail at their first Close.
type badClose struct{ backend.Sink }

func (s badClose) NewAppender(f backend.Format) backend.Appender {
	return badCloseAppender{s.Sink.NewAppender(f)}
}

type badCloseAppender struct{ backend.Appender }

func (a badCloseAppender) Open(ctx context.Context) (backend.Session, error) {
	s, err := a.Appender.Open(ctx)
	return &badCloseSession{Session: s}, err
}

type badCloseSession struct {
	backend.Session
	closed atomic.Bool
}

func (s *badCloseSession) Close() error {
	if err := s.Session.Close(); err != nil || s.closed.Swap(true) {
		return err
	}
	return errors.New("the handle is bad")
}

func TestFailedCloseOfASessionIsLogged(t *testing.T) {
	for name, end := range map[string]func(*testing.T, *producer.Producer[string]){
		"idle session":      func(*testing.T, *producer.Producer[string]) { time.Sleep(3 * time.Minute); synctest.Wait() },
		"end of a producer": closeNow,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var log bytes.Buffer
				p := open(t, badClose{memory.New()}, producer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
				if err := p.Send(t.Context(), "0"); err != nil {
					t.Fatal(err)
				}
				end(t, p)
				if n := strings.Count(log.String(), "the handle is bad"); n != 1 {
					t.Errorf("the failure is logged %d times, want once:\n%s", n, log.String())
				}
				closeNow(t, p)
			})
		})
	}
}
