package producer_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/producer"
)

// down makes a store that is away for the given time from now on: it loses what it is sent and lets nobody in.
func down(d time.Duration) backendtest.Fault {
	until := time.Now().Add(d)
	return func(c backendtest.Call) backendtest.Effect {
		switch {
		case time.Now().After(until):
		case c.Op == backendtest.OnOpen && c.N > 1:
			return backendtest.Fail(nil)
		case c.Op == backendtest.OnSend:
			return backendtest.DropBefore(nil)
		}
		return backendtest.Effect{}
	}
}

// warnings are what is logged at warn and above.
type warnings struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *warnings) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *warnings) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *warnings) option() producer.Option {
	return producer.Logger(slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelWarn})))
}

func TestAProducerOutlivesAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		var logged warnings
		p := open(t, backendtest.NewFlakySink(s, down(3*time.Hour)), producer.BufferBytes(300), logged.option())
		first := enqueue(t, p, strings.Repeat("x", 150))[0]

		<-time.After(time.Hour)
		if text := logged.String(); strings.Count(text, "outage begins") != 1 || strings.Contains(text, "outage ends") {
			t.Errorf("logged an hour into the outage:\n%s", text)
		}
		if err := p.Err(); err != nil {
			t.Errorf("an hour into the outage the producer has stopped: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.Enqueue(ctx, strings.Repeat("y", 150)); !errors.Is(err, producer.ErrFull) {
			t.Errorf("Enqueue with a full buffer: %v, want ErrFull when its context ends", err)
		}
		if _, err := p.Enqueue(t.Context(), strings.Repeat("z", 150)); err != nil { // blocks until the store is back
			t.Errorf("Enqueue: %v", err)
		}
		if _, err := first.Wait(t.Context()); err != nil {
			t.Errorf("the record accepted before the outage: %v", err)
		}
		closeNow(t, p)
		wantLog(t, s, strings.Repeat("x", 150), strings.Repeat("z", 150))
		text := logged.String()
		if strings.Count(text, "outage begins") != 1 || strings.Count(text, "outage ends") != 1 || strings.Count(text, "\n") > 5 {
			t.Errorf("logged:\n%s\nwant the beginning and the end, and not each attempt", text)
		}
	})
}

// One session that is lost and opened again at once is routine.
func TestALostSessionIsNoOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var logged warnings
		p := open(t, backendtest.NewFlakySink(memory.New(), backendtest.Every(backendtest.OnSend, 2, backendtest.DropBefore(nil))),
			oneEach, logged.option())
		enqueue(t, p, numbered(20)...)
		closeNow(t, p)
		if text := logged.String(); strings.Contains(text, "outage") {
			t.Errorf("logged:\n%s", text)
		}
	})
}

func TestNewWaitsForTheStoreAsLongAsItsContextSays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		from := time.Now()
		sink := backendtest.NewFlakySink(memory.New(), func(c backendtest.Call) backendtest.Effect {
			if c.Op == backendtest.OnOpen && time.Since(from) < 5*time.Minute {
				return backendtest.Fail(nil)
			}
			return backendtest.Effect{}
		})
		var logged warnings
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := producer.New(ctx, sink, text(), logged.option()); !errors.Is(err, context.DeadlineExceeded) || time.Since(from) != time.Minute {
			t.Errorf("New gave up after %v: %v, want its context's minute", time.Since(from), err)
		}
		ctx, cancel = context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		p, err := producer.New(ctx, sink, text(), logged.option())
		if err != nil {
			t.Fatalf("New gave up after %v: %v", time.Since(from), err)
		}
		closeNow(t, p)
		if text := logged.String(); strings.Count(text, "outage begins") != 2 || strings.Count(text, "outage ends") != 1 {
			t.Errorf("logged:\n%s", text)
		}
	})
}

type moved struct{ to string }

func (m moved) Error() string { return "moved to " + m.to }

func TestAStoppedProducerSaysSoForGood(t *testing.T) {
	bubble(t, func(t *testing.T) {
		cause := errors.Join(backend.ErrTransient, moved{"the moon"})
		fail := func(c backendtest.Call) backendtest.Effect {
			if c.Op == backendtest.OnSend {
				return backendtest.DropBefore(cause)
			}
			return backendtest.Effect{}
		}
		p := open(t, backendtest.NewFlakySink(memory.New(), fail), producer.Attempts(3))
		select {
		case <-p.Done():
			t.Error("Done is closed while the producer runs")
		default:
		}
		if err := p.Err(); err != nil {
			t.Errorf("Err while the producer runs: %v", err)
		}
		r := enqueue(t, p, "a")[0]
		<-p.Done()
		_, receipt := r.Wait(t.Context())
		_, enqueued := p.Enqueue(t.Context(), "b")
		_, tried := p.TryEnqueue("b")
		for name, err := range map[string]error{
			"Err": p.Err(), "a receipt": receipt, "Send": p.Send(t.Context(), "b"), "Enqueue": enqueued, "TryEnqueue": tried,
			"Flush": p.Flush(t.Context()), "Close": p.Close(), "Err after Close": p.Err(),
		} {
			var where moved
			if !errors.Is(err, backend.ErrClosed) || errors.Is(err, backend.ErrTransient) || !errors.As(err, &where) ||
				!strings.Contains(err.Error(), "moved to the moon") || !strings.Contains(err.Error(), "3 attempts") {
				t.Errorf("%s: %v (transient: %v), want ErrClosed with the cause", name, err, errors.Is(err, backend.ErrTransient))
			}
		}
	})
}

func TestDoneIsClosedWhenCloseIsOver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(), backendtest.Nth(backendtest.OnAck, 1, backendtest.Delay(time.Second)))
		p := open(t, sink)
		enqueue(t, p, "a")
		go func() { closeNow(t, p) }()
		synctest.Wait()
		if err := p.Err(); err != nil {
			t.Errorf("Err while Close waits for an ack: %v", err)
		}
		<-p.Done()
		if err := p.Err(); !errors.Is(err, backend.ErrClosed) || errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Err after Close: %v, want ErrClosed", err)
		}
	})
}
