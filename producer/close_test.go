package producer_test

import (
	"context"
	"errors"
	"slices"
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

func TestCloseAfterTheSignalContextIsDoneStoresEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		ctx, signal := context.WithCancel(t.Context())
		p, err := producer.New(ctx, s, text(), producer.Linger(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range numbered(10) {
			if _, err := p.Enqueue(ctx, v); err != nil {
				t.Fatal(err)
			}
		}
		signal()
		closeNow(t, p)
		wantLog(t, s, numbered(10)...)
	})
}

func TestCloseSaysWhatWasLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(), backendtest.Nth(backendtest.OnSend, 2, backendtest.Stall()))
		p := open(t, sink, oneEach, producer.DrainTimeout(3*time.Second))
		rs := enqueue(t, p, "0", "1", "2")
		began := time.Now()
		err := p.Close()
		if d := time.Since(began); d != 3*time.Second {
			t.Errorf("Close took %v, want its budget of 3s", d)
		}
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "2 records left") {
			t.Errorf("Close: %v, want the deadline and 2 records left", err)
		}
		if _, err := wait(t, rs[0]); err != nil {
			t.Errorf("the acknowledged one: %v", err)
		}
		for i, r := range rs[1:] {
			if _, err := wait(t, r); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backend.ErrIndeterminate) {
				t.Errorf("record %d: %v, want the deadline and ErrIndeterminate", i+1, err)
			}
		}
		var left []string
		for r, stored := range p.Unacked() {
			left = append(left, string(r.Value))
			if !stored {
				t.Errorf("%s was taken, so it may be stored", r.Value)
			}
		}
		if !slices.Equal(left, []string{"1", "2"}) {
			t.Errorf("Unacked: %q", left)
		}
		for range p.Unacked() {
			break // leaving early is fine
		}
	})
}

func TestCloseWhileTheServerIsGone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(),
			backendtest.Nth(backendtest.OnSend, 1, backendtest.DropBefore(nil)),
			func(c backendtest.Call) backendtest.Effect {
				if c.Op == backendtest.OnOpen && c.N > 1 {
					return backendtest.Hang()
				}
				return backendtest.Effect{}
			})
		p := open(t, sink, producer.DrainTimeout(time.Second))
		enqueue(t, p, "a")
		began := time.Now()
		if err := p.Close(); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close: %v", err)
		}
		if d := time.Since(began); d != time.Second {
			t.Errorf("Close took %v, want its budget", d)
		}
	})
}

func TestUseAfterCloseIsErrClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := open(t, memory.New())
		enqueue(t, p, "a")
		closeNow(t, p)
		closeNow(t, p)
		if err := p.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown after Close: %v", err)
		}
		for name, f := range map[string]func() error{
			"Send":       func() error { return p.Send(t.Context(), "b") },
			"Enqueue":    func() error { _, err := p.Enqueue(t.Context(), "b"); return err },
			"TryEnqueue": func() error { _, err := p.TryEnqueue("b"); return err },
			"Record": func() error {
				_, err := p.EnqueueRecord(t.Context(), producer.Record[string]{Value: "b"})
				return err
			},
			"Encoded": func() error { _, err := p.EnqueueEncoded(t.Context(), backend.Record{}); return err },
			"Flush":   func() error { return p.Flush(t.Context()) },
		} {
			if err := f(); !errors.Is(err, backend.ErrClosed) {
				t.Errorf("%s: %v, want ErrClosed", name, err)
			}
		}
		for range p.Unacked() {
			t.Error("Unacked yields something though all is acknowledged")
		}
	})
}

func TestConcurrentClosesAndSends(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := memory.New()
		p := open(t, s)
		var wg sync.WaitGroup
		var mu sync.Mutex
		stored := 0
		for range 8 {
			wg.Go(func() {
				for range 100 {
					err := p.Send(t.Context(), "x")
					if err != nil && !errors.Is(err, backend.ErrClosed) {
						t.Errorf("send: %v", err)
					}
					if err != nil {
						return
					}
					mu.Lock()
					stored++
					mu.Unlock()
				}
			})
		}
		for range 3 {
			wg.Go(func() { closeNow(t, p) })
		}
		wg.Wait()
		if n := len(values(s)); n != stored {
			t.Errorf("%d records stored, %d were confirmed", n, stored)
		}
	})
}

func TestCloseReleasesBlockedCallers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sink := backendtest.NewFlakySink(memory.New(), backendtest.Nth(backendtest.OnSend, 1, backendtest.Stall()))
		p := open(t, sink, producer.BufferBytes(300), producer.DrainTimeout(time.Second))
		enqueue(t, p, strings.Repeat("x", 150))
		blocked := make(chan error)
		go func() {
			_, err := p.Enqueue(t.Context(), strings.Repeat("y", 150))
			blocked <- err
		}()
		synctest.Wait()
		go p.Close()
		if err := <-blocked; !errors.Is(err, backend.ErrClosed) {
			t.Errorf("the blocked caller got %v", err)
		}
		<-time.After(2 * time.Second)
	})
}

func TestAProducerThatWasNeverUsedCloses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		closeNow(t, open(t, memory.New()))
	})
}

// The time for Close may be over at once, and everything may be durable all the same. Then nothing was left, and there is no error.
func TestCloseWithoutTimeIsCleanWhenNothingIsLeft(t *testing.T) {
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, end := range map[string]func(*producer.Producer[string]) error{
		"Close":    (*producer.Producer[string]).Close,
		"Shutdown": func(p *producer.Producer[string]) error { return p.Shutdown(ended) },
	} {
		for when, pause := range map[string]time.Duration{"with a session": 0, "without a session": 3 * time.Minute} {
			t.Run(name+" "+when, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					var reason error
					hooks := producer.Hooks{Started: func(func() producer.Stats) func(error) { return func(err error) { reason = err } }}
					p := open(t, memory.New(), producer.DrainTimeout(0), producer.Observe(hooks))
					if err := p.Send(t.Context(), "0"); err != nil {
						t.Fatal(err)
					}
					time.Sleep(pause)
					synctest.Wait()
					if err := end(p); err != nil {
						t.Errorf("everything is durable, and the end reports: %v", err)
					}
					for _, err := range []error{p.Err(), reason} {
						if !errors.Is(err, backend.ErrClosed) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("the producer has stopped because of %v", err)
						}
					}
				})
			})
		}
	}
}
