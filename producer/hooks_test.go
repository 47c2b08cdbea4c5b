package producer_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/producer"
)

// A hook runs in a goroutine that Close waits for.
func TestCloseInAHookIsAnErrorAndNoDeadlock(t *testing.T) {
	for name, hooks := range map[string]func(closes func()) producer.Hooks{
		"BatchSent":   func(f func()) producer.Hooks { return producer.Hooks{BatchSent: func(producer.BatchEvent) { f() }} },
		"BatchAcked":  func(f func()) producer.Hooks { return producer.Hooks{BatchAcked: func(producer.BatchEvent) { f() }} },
		"BatchFailed": func(f func()) producer.Hooks { return producer.Hooks{BatchFailed: func(producer.BatchEvent) { f() }} },
		"SessionLost": func(f func()) producer.Hooks { return producer.Hooks{SessionLost: func(producer.SessionEvent) { f() }} },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var p *producer.Producer[string]
				closed := make(chan error, 1)
				begun := time.Now()
				accepted := make(chan struct{}) // closed when all records are enqueued, because a closed producer accepts no more
				h := hooks(func() {
					<-accepted
					select {
					case closed <- p.Close():
					default:
					}
				})
				sink := backendtest.NewFlakySink(memory.New(), backendtest.Nth(backendtest.OnSend, 2, backendtest.DropBefore(errors.New("burnt"))))
				p = open(t, sink, oneEach, producer.DrainTimeout(time.Second), producer.Observe(h))
				enqueue(t, p, "a", "b")
				close(accepted)
				<-p.Done()
				err := <-closed
				if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "hook") {
					t.Errorf("Close in the hook: %v, want its deadline and that a hook is running", err)
				}
				if took := time.Since(begun); took > time.Minute {
					t.Errorf("took %v", took)
				}
				if err := p.Close(); !errors.Is(err, backend.ErrClosed) {
					t.Errorf("Close afterwards: %v, want why the producer stopped", err)
				}
			})
		})
	}
}

func TestHooksTellOfTheLifeOfAProducer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var stats func() producer.Stats
		var why error
		p := open(t, memory.New(), producer.Observe(producer.Hooks{
			Started: func(f func() producer.Stats) func(error) {
				stats = f
				return func(err error) { why = err }
			},
		}))
		if err := p.Send(t.Context(), "a", "b"); err != nil {
			t.Fatal(err)
		}
		if n := stats().Acked; n != 2 || why != nil {
			t.Errorf("%d acknowledged, stopped: %v", n, why)
		}
		closeNow(t, p)
		if !errors.Is(why, backend.ErrClosed) {
			t.Errorf("stopped: %v", why)
		}
	})
}
