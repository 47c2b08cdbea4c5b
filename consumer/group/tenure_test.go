package group

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group/lease"
)

// A handler that is in hand when its stream is given away finishes, and its record is not handled again.
func TestHandoverFinishesWhatIsInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 20)
		a := w.start("a", 2900*time.Millisecond) // the drain has 3 s
		w.until("a holds all", time.Minute, w.shared("a"))
		b := w.start("b", 2900*time.Millisecond)
		w.until("all is handled", 10*time.Minute, w.allHandled(20))
		if w.neverBoth(); w.repeated() != 0 || !w.shared("a", "b")() {
			t.Errorf("%d repeated, held: %v", w.repeated(), w.holds())
		}
		canceled(t, a.stop())
		canceled(t, b.stop())
	})
}

// A handler that needs longer than the drain is stopped before another member begins, and its record comes again there.
func TestHandlerThatExceedsTheDrainIsStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 3)
		a := w.start("a", 20*time.Second)
		w.until("a holds all", time.Minute, w.shared("a"))
		b := w.start("b", 20*time.Second)
		w.until("all is handled", 10*time.Minute, w.allHandled(3))
		if w.neverBoth(); w.repeated() != 1 {
			t.Errorf("%d repeated, want the one that was in hand", w.repeated())
		}
		canceled(t, a.stop())
		canceled(t, b.stop())
	})
}

// A member whose lease was taken without its knowledge is told by the next renewal, and saves nothing until then.
func TestLostLeaseEndsTheWorkInHandAndIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 10)
		inHand, ended := make(chan struct{}), make(chan error, 1)
		a := w.run("a", Fixed(w.open, w.names...), func(ctx context.Context, g *Group[int]) error {
			return g.Each(ctx, func(ctx context.Context, stream string, c *consumer.Consumer[int]) error {
				for m, err := range c.Messages(ctx) {
					if err != nil {
						return err
					}
					close(inHand)
					<-InHand(ctx).Done()
					ended <- w.leases.Save(context.Background(), g.Key(stream), m.Checkpoint())
					return InHand(ctx).Err()
				}
				return nil
			})
		})
		<-inHand
		// The store believes that the lease is over, as after a jump of its clock, and gives it to another.
		w.leases.Shift(20 * time.Second)
		if _, ok, err := w.leases.Acquire(t.Context(), "billing", "x", "s00", time.Hour); !ok || err != nil {
			t.Fatal(ok, err)
		}
		begun := time.Now()
		if err := <-ended; !errors.Is(err, backend.ErrFenced) || time.Since(begun) > 3*time.Second {
			t.Errorf("a save of the former owner: %v after %v", err, time.Since(begun))
		}
		canceled(t, a.stop())
	})
}

// A function that never returns ends its member, and the stream goes on elsewhere.
func TestFunctionThatNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10)
		let := make(chan struct{})
		a := w.run("a", Fixed(w.open, w.names...), func(ctx context.Context, g *Group[int]) error {
			return g.Each(ctx, func(ctx context.Context, stream string, c *consumer.Consumer[int]) error {
				<-let
				return nil
			})
		})
		w.until("a holds all", time.Minute, w.shared("a"))
		b := w.start("b", time.Second)
		err := <-a.err
		if err == nil || !strings.Contains(err.Error(), "has not returned") || !strings.Contains(err.Error(), "billing: stream s0") {
			t.Errorf("%v", err)
		}
		w.until("b handles all", time.Minute, w.allHandled(10))
		canceled(t, b.stop())
		close(let)
	})
}

// A handler that ignores its ctx holds neither its stream nor the end of its member.
func TestHandlerThatNeverReturns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 10)
		let := make(chan struct{})
		a := w.startWith("a", Fixed(w.open, w.names...), func(context.Context, string, consumer.Message[int]) error {
			<-let
			return nil
		})
		w.until("a holds all", time.Minute, w.shared("a"))
		b := w.start("b", time.Second)
		a.end()
		w.until("b handles all", time.Minute, w.allHandled(10))
		canceled(t, <-a.err)
		canceled(t, b.stop())
		close(let)
	})
}

// A lease that was lost ends the ctx of a handler at once, and not only after the drain.
func TestLostLeaseEndsTheHandlersAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 1)
		a := w.startWith("a", Fixed(w.open, w.names...), func(ctx context.Context, stream string, m consumer.Message[int]) error {
			return w.handle(ctx, "a", stream, m.Value, time.Hour)
		}, LeaseTime(time.Minute), DrainTimeout(15*time.Second))
		w.until("a has the record in hand", time.Minute, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.busy["s00"] == "a" })
		w.leases.Shift(2 * time.Minute)
		if _, ok, err := w.leases.Acquire(t.Context(), "billing", "x", "s00", time.Hour); !ok || err != nil {
			t.Fatal(ok, err)
		}
		w.until("the next renewal ends the handler", 12*time.Second, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.busy["s00"] == "" })
		canceled(t, a.stop())
	})
}

// In Each, work in hand may go on for DrainTimeout after reading has stopped.
func TestWorkInHandEndsWithTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 1)
		begun := make(chan struct{})
		var took time.Duration
		a := w.run("a", Fixed(w.open, w.names...), func(ctx context.Context, g *Group[int]) error {
			return g.Each(ctx, func(ctx context.Context, _ string, c *consumer.Consumer[int]) error {
				for _, err := range c.Messages(ctx) {
					if err != nil {
						return err
					}
					close(begun)
					<-ctx.Done()
					stopped := time.Now()
					<-InHand(ctx).Done()
					took = time.Since(stopped)
				}
				return nil
			})
		})
		<-begun
		if canceled(t, a.stop()); took != 3*time.Second {
			t.Errorf("the work in hand had %v, want 3 s", took)
		}
		if InHand(t.Context()) != t.Context() {
			t.Error("a context that is not of Each has another for the work in hand")
		}
	})
}

// A release that fails is made good by the member: it takes the stream again and gives it away again.
func TestReleaseThatFailsIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 500)
		a := w.start("a", time.Second, LeaseTime(10*time.Minute))
		w.until("a holds all", 3*time.Minute, w.shared("a"))
		a.line.releasesToFail.Store(1)
		b := w.start("b", time.Second, LeaseTime(10*time.Minute))
		// A lease of ten minutes has a round every two minutes.
		w.until("b has its share long before the lease is over", 9*time.Minute, w.shared("a", "b"))
		if a.line.releasesToFail.Load() != 0 || w.repeated() != 0 {
			t.Errorf("%d repeated", w.repeated())
		}
		canceled(t, a.stop())
		canceled(t, b.stop())
	})
}

// A panic of the function that opens a stream, and FailNow in the function of Each, end the group with an error. They end
// neither the process nor leave the stream without work.
func TestFunctionsThatDoNotReturnNormallyAreFinal(t *testing.T) {
	for name, c := range map[string]struct {
		open func(string) backend.Source
		each func(context.Context, string, *consumer.Consumer[string]) error
		want string
	}{
		"open panics": {func(string) backend.Source { panic("no such door") }, nil, "no such door"},
		"Goexit": {func(string) backend.Source { return memory.New() },
			func(context.Context, string, *consumer.Consumer[string]) error { runtime.Goexit(); return nil }, "Goexit"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, err := New(lease.NewMemory(), "g", Fixed(c.open, "s"), codec.String())
				if err != nil {
					t.Fatal(err)
				}
				if c.each == nil {
					c.each = func(context.Context, string, *consumer.Consumer[string]) error { return nil }
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				if err := g.Each(ctx, c.each); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Error(err)
				}
			})
		})
	}
}
