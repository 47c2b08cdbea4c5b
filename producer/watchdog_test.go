package producer

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
)

// The watchdog may fire at the moment at which an ack arrives, and get the lock behind the ack. Then the session works, and must
// go on.
func TestWatchdogThatFiresTogetherWithAnAckEndsNothing(t *testing.T) {
	for name, slow := range map[string]time.Duration{"nothing is owed": 0, "the next ack is owed for a moment": 30 * time.Second} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sink := backendtest.NewFlakySink(memory.New(), backendtest.Nth(backendtest.OnAck, 2, backendtest.Delay(slow)))
				p, err := New(t.Context(), sink, codec.String(), Linger(0), AckTimeout(time.Minute), IdleTimeout(0))
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Send(t.Context(), "first"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(50 * time.Second)
				if _, err := p.Enqueue(t.Context(), "second"); err != nil {
					t.Fatal(err)
				}
				time.Sleep(20 * time.Second)
				p.engine.mu.Lock()
				p.engine.watchdog.Reset(0)
				p.engine.mu.Unlock()
				time.Sleep(20 * time.Second)
				if err := p.Send(t.Context(), "third"); err != nil {
					t.Fatal(err)
				}
				if s := p.Stats(); s.Sessions != 1 || s.Resent != 0 {
					t.Errorf("%d sessions, %d batches sent again; want 1 session and none", s.Sessions, s.Resent)
				}
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}
