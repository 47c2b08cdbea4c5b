package group

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group/lease"
)

// canceled checks that a member that was stopped says so and nothing else.
func canceled(t *testing.T, err error) {
	t.Helper()
	if err != context.Canceled {
		t.Errorf("%v, want %v", err, context.Canceled)
	}
}

func TestMembersShareTheStreamsEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 8, 2000)
		a := w.start("a", time.Second)
		w.until("a holds all", time.Minute, w.shared("a"))
		b := w.start("b", time.Second)
		w.until("b has its share", time.Minute, w.shared("a", "b"))
		c := w.start("c", time.Second)
		w.until("c has its share", time.Minute, w.shared("a", "b", "c"))
		canceled(t, b.stop())
		if took := w.until("a and c have the streams of b", time.Minute, w.shared("a", "c")); took > 4*time.Second {
			t.Errorf("after a shutdown the streams were taken over only after %v", took)
		}
		if n := w.repeated(); n != 0 {
			t.Errorf("%d records were handled twice although every handover was polite", n)
		}
		a.kill()
		if took := w.until("c has all", time.Minute, w.shared("c")); took > 18*time.Second {
			t.Errorf("after a kill the streams were taken over only after %v", took)
		}
		w.neverBoth()
		canceled(t, c.stop())
	})
}

// Members that start together, or come back together after an outage, share the streams before they take them. Otherwise
// the first would take all, and give them away one by one.
func TestMembersThatBeginTogetherMoveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 12, 1000)
		members := []*process{w.start("a", time.Second), w.start("b", time.Second), w.start("c", time.Second)}
		acquired := func() (n int64) {
			for _, p := range members {
				n += p.line.acquired.Load()
			}
			return n
		}
		w.until("the streams are shared", time.Minute, w.shared("a", "b", "c"))
		if n := acquired(); n != 12 {
			t.Errorf("%d leases were acquired for 12 streams", n)
		}
		for _, p := range members {
			p.line.cut.Store(true)
		}
		time.Sleep(time.Minute)
		for _, p := range members {
			p.line.cut.Store(false)
		}
		w.until("the streams are shared again", time.Minute, w.shared("a", "b", "c"))
		if n := acquired(); n != 24 {
			t.Errorf("%d leases were acquired after an outage, want 12", n-12)
		}
		for _, p := range members {
			canceled(t, p.stop())
		}
	})
}

func TestStandbyDoesNotDisturbTheOwner(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 100)
		a := w.start("a", time.Second)
		w.until("a holds the stream", time.Minute, w.shared("a"))
		b := w.start("b", time.Second)
		time.Sleep(10 * time.Minute)
		if a.line.claims.Load() != 1 || b.line.claims.Load() != 0 || w.repeated() != 0 || !w.allHandled(100)() {
			t.Errorf("%d and %d claims in ten minutes, %d repeated", a.line.claims.Load(), b.line.claims.Load(), w.repeated())
		}
		a.kill()
		w.until("b holds the stream", 18*time.Second, func() bool { return w.holds()["b"] == 1 })
		canceled(t, b.stop())
	})
}

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

// Nobody can renew for a minute: every member stops before its leases end, and goes on afterwards.
func TestOutageOfTheStoreEndsNoGroup(t *testing.T) {
	for _, outage := range []time.Duration{5 * time.Second, 10 * time.Second, 13 * time.Second, time.Minute} {
		t.Run(outage.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 6, 300)
				members := []*process{w.start("a", time.Second), w.start("b", time.Second), w.start("c", time.Second)}
				w.until("the streams are shared", time.Minute, w.shared("a", "b", "c"))
				time.Sleep(10 * time.Second)
				for _, p := range members {
					p.line.cut.Store(true)
				}
				time.Sleep(outage)
				for _, p := range members {
					p.line.cut.Store(false)
				}
				w.until("the streams are shared again", time.Minute, w.shared("a", "b", "c"))
				w.until("all is handled", time.Hour, w.allHandled(300))
				w.neverBoth()
				if outage < 6*time.Second && w.repeated() != 0 {
					t.Errorf("%d repeated in an outage that is shorter than a lease", w.repeated())
				}
				for _, p := range members {
					canceled(t, p.stop())
				}
			})
		})
	}
}

// One member loses its line to the store and the others do not: it has stopped before they begin.
func TestMemberThatIsCutOffStopsBeforeOthersBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 300)
		a, b := w.start("a", time.Second), w.start("b", time.Second)
		w.until("the streams are shared", time.Minute, w.shared("a", "b"))
		a.line.cut.Store(true)
		w.until("b has all", 20*time.Second, func() bool { return w.holds()["b"] == 4 })
		time.Sleep(time.Minute)
		a.line.cut.Store(false)
		w.until("the streams are shared again", time.Minute, w.shared("a", "b"))
		w.until("all is handled", time.Hour, w.allHandled(300))
		w.neverBoth()
		canceled(t, a.stop())
		canceled(t, b.stop())
	})
}

// The clock of the store jumps by an hour, in both directions. Members take no time from it, so nothing is lost, and what
// is saved is right.
func TestClockOfTheStoreMayJump(t *testing.T) {
	for _, jump := range []time.Duration{time.Hour, -time.Hour} {
		t.Run(jump.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 6, 200)
				a, b := w.start("a", time.Second), w.start("b", time.Second)
				w.until("the streams are shared", time.Minute, w.shared("a", "b"))
				time.Sleep(5 * time.Second)
				w.leases.Shift(jump)
				w.until("all is handled", time.Hour, w.allHandled(200))
				w.until("the streams are shared again", time.Minute, w.shared("a", "b"))
				canceled(t, a.stop())
				canceled(t, b.stop())
			})
		})
	}
}

// A member whose lease was taken without its knowledge is told by the next renewal, and saves nothing until then.
func TestLostLeaseEndsTheWorkInHandAndIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 10)
		ended := make(chan error, 1)
		var at checkpoint.Checkpoint
		a := w.run("a", Fixed(w.open, w.names...), func(ctx context.Context, g *Group[int]) error {
			return g.Each(ctx, func(ctx context.Context, stream string, c *consumer.Consumer[int]) error {
				for m, err := range c.Messages(ctx) {
					if err != nil {
						return err
					}
					at = m.Checkpoint()
					<-InHand(ctx).Done()
					ended <- w.leases.Save(context.Background(), g.Key(stream), at)
					return InHand(ctx).Err()
				}
				return nil
			})
		})
		w.until("a has a record in hand", time.Minute, func() bool { return at.Epoch > 0 })
		// The store believes that the lease is over, as after a jump of its clock, and gives it to another.
		w.leases.Shift(20 * time.Second)
		if ok, err := w.leases.Acquire(t.Context(), "billing", "x", "s00", time.Hour); !ok || err != nil {
			t.Fatal(ok, err)
		}
		begun := time.Now()
		if err := <-ended; !errors.Is(err, backend.ErrFenced) || time.Since(begun) > 3*time.Second {
			t.Errorf("a save of the former owner: %v after %v", err, time.Since(begun))
		}
		canceled(t, a.stop())
	})
}

func TestStreamsComeAndVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 50)
		var listed atomic.Pointer[[]string]
		listed.Store(&w.names)
		list := func(context.Context) ([]string, error) { return *listed.Load(), nil }
		start := func(name string) *process {
			return w.startWith(name, Discover(w.open, list, 5*time.Second), func(ctx context.Context, stream string, m consumer.Message[int]) error {
				return w.handle(ctx, name, stream, m.Value, time.Second)
			})
		}
		a, b := start("a"), start("b")
		w.until("the streams are shared", time.Minute, w.shared("a", "b"))
		w.add("s99", 50)
		all := w.names
		listed.Store(&all)
		w.until("the new stream is handled", 10*time.Minute, w.allHandled(50))
		few := []string{"s00", "s01"}
		listed.Store(&few)
		w.names = few
		w.until("the vanished streams are given back", time.Minute, w.shared("a", "b"))
		none := []string{}
		listed.Store(&none)
		w.until("all are given back", time.Minute, func() bool { return w.holds()["a"]+w.holds()["b"] == 0 })
		if n := w.repeated(); n != 0 {
			t.Errorf("%d repeated", n)
		}
		canceled(t, a.stop())
		canceled(t, b.stop())
	})
}

// A stream that is deleted while a member reads it ends no group that discovers its streams.
func TestStreamThatIsDeletedWhileLeased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10)
		gone := &goneSource{}
		open := func(stream string) backend.Source {
			if stream == "gone" {
				return gone
			}
			return w.open(stream)
		}
		names := append([]string{"gone"}, w.names...)
		handle := func(ctx context.Context, stream string, m consumer.Message[int]) error {
			return w.handle(ctx, "a", stream, m.Value, time.Second)
		}
		list := func(context.Context) ([]string, error) { return names, nil }
		a := w.startWith("a", Discover(open, list, time.Minute), handle)
		w.until("the others are handled", time.Minute, w.allHandled(10))
		time.Sleep(10 * time.Minute)
		if n := gone.opened.Load(); n < 8 || n > 12 {
			t.Errorf("a stream that is missing was opened %d times in 10 minutes, want once a minute", n)
		}
		canceled(t, a.stop())
		// With fixed names the name is wrong.
		b := w.startWith("b", Fixed(open, names...), handle)
		if err := <-b.err; !errors.Is(err, backend.ErrNotFound) || !strings.Contains(err.Error(), "stream gone") {
			t.Errorf("%v", err)
		}
	})
}

type goneSource struct{ opened atomic.Int64 }

func (g *goneSource) OpenReader(context.Context, backend.Offset) (backend.Reader, error) {
	g.opened.Add(1)
	return nil, fmt.Errorf("%w: it was deleted", backend.ErrNotFound)
}

func TestListThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10)
		var calls atomic.Int64
		failure := errors.New("permission denied")
		list := func(context.Context) ([]string, error) {
			switch calls.Add(1) {
			case 1, 2:
				return nil, errCut
			case 3:
				return w.names, nil
			}
			return nil, failure
		}
		handle := func(ctx context.Context, stream string, m consumer.Message[int]) error {
			return w.handle(ctx, "a", stream, m.Value, time.Second)
		}
		a := w.startWith("a", Discover(w.open, list, time.Second), handle)
		w.until("an outage at the beginning passes", time.Minute, w.allHandled(10))
		time.Sleep(time.Minute)
		if !w.shared("a")() {
			t.Errorf("a list that fails later changed the streams: %v", w.holds())
		}
		canceled(t, a.stop())
		b := w.startWith("b", Discover(w.open, list, time.Second), handle)
		if err := <-b.err; !errors.Is(err, failure) || !strings.Contains(err.Error(), "list the streams") {
			t.Errorf("%v", err)
		}
	})
}

func TestTwoMembersMayHaveOneName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 50)
		a, b := w.start("host", time.Second), w.start("host", time.Second)
		w.until("all is handled", time.Hour, w.allHandled(50))
		state, err := w.leases.Members(t.Context(), "billing")
		if err != nil || len(state.Members) != 2 || w.repeated() != 0 {
			t.Errorf("members %v, %v, %d repeated", state.Members, err, w.repeated())
		}
		canceled(t, a.stop())
		canceled(t, b.stop())
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

// A consumer outside the group uses the same checkpoint, and claims it whenever it is fenced. The member claims once in
// the time of a lease, so the two do not fence each other in a circle.
func TestClaimFromOutsideIsNoCircle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 2000)
		a := w.start("a", time.Second)
		w.until("a holds the stream", time.Minute, w.shared("a"))
		outside, end := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for outside.Err() == nil {
				c, err := consumer.New(w.open("s00"), codec.JSON[int](), consumer.Checkpoint(w.leases, lease.Key("billing", "s00")))
				if err != nil {
					t.Error(err)
					return
				}
				_ = c.Process(outside, func(ctx context.Context, m consumer.Message[int]) error {
					return w.handle(ctx, "outside", "s00", m.Value, time.Second)
				})
			}
		}()
		time.Sleep(5 * time.Minute)
		if n := a.line.claims.Load(); n < 10 || n > 21 {
			t.Errorf("%d claims in 20 leases", n)
		}
		end()
		<-ended
		canceled(t, a.stop())
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
		if ok, err := w.leases.Acquire(t.Context(), "billing", "x", "s00", time.Hour); !ok || err != nil {
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

// An outage of what the handlers need is told by ErrTransient, and ends no member.
func TestTransientErrorOfTheWorkBeginsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 10)
		var down atomic.Bool
		a := w.startWith("a", Fixed(w.open, w.names...), func(ctx context.Context, stream string, m consumer.Message[int]) error {
			if down.Load() {
				return errCut
			}
			return w.handle(ctx, "a", stream, m.Value, time.Second)
		})
		w.until("half is handled", time.Minute, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.handled["s00"]) == 5 })
		down.Store(true)
		time.Sleep(10 * time.Minute)
		if n := a.line.claims.Load(); n < 60 || n > 250 {
			t.Errorf("the work began %d times in ten minutes, want pauses that grow to 5 s", n)
		}
		down.Store(false)
		w.until("all is handled", time.Minute, w.allHandled(10))
		if n := w.repeated(); n != 0 {
			t.Errorf("%d repeated", n)
		}
		canceled(t, a.stop())
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

func TestFinalErrorOfOneStreamEndsTheMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 3, 10)
		broken := errors.New("broken")
		a := w.startWith("a", Fixed(w.open, w.names...), func(ctx context.Context, stream string, m consumer.Message[int]) error {
			if stream == "s01" && m.Value == 5 {
				return consumer.Permanent(broken)
			}
			return w.handle(ctx, "a", stream, m.Value, time.Second)
		})
		err := <-a.err
		if !errors.Is(err, broken) || !strings.Contains(err.Error(), "group: billing: stream s01") {
			t.Errorf("%v", err)
		}
		if held := w.holds(); len(held) != 0 {
			t.Errorf("the member has not left: %v", held)
		}
		for _, stream := range []string{"s00", "s02"} {
			cp, err := w.leases.Load(t.Context(), lease.Key("billing", stream))
			if err != nil || cp.Offset == "" {
				t.Errorf("%s: %v, %v: the place was not saved", stream, cp, err)
			}
		}
	})
}

func TestPanicOfTheFunctionIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 1)
		a := w.run("a", Fixed(w.open, w.names...), func(ctx context.Context, g *Group[int]) error {
			return g.Each(ctx, func(context.Context, string, *consumer.Consumer[int]) error { panic("ouch") })
		})
		var p *consumer.PanicError
		if err := <-a.err; !errors.As(err, &p) || p.Value != "ouch" {
			t.Errorf("%v", err)
		}
	})
}

// A stream that is closed for good is read to its end once, and not by one member after the other.
func TestStreamThatHasEndedStaysWithItsMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10)
		if err := w.streams["s00"].Seal(t.Context()); err != nil {
			t.Fatal(err)
		}
		a, b := w.start("a", time.Second), w.start("b", time.Second)
		w.until("all is handled", time.Minute, w.allHandled(10))
		w.until("the streams are shared", time.Minute, w.shared("a", "b"))
		before := a.line.claims.Load() + b.line.claims.Load()
		time.Sleep(10 * time.Minute)
		if n := a.line.claims.Load() + b.line.claims.Load() - before; n != 0 || w.repeated() != 0 {
			t.Errorf("%d claims in ten minutes, %d repeated", n, w.repeated())
		}
		canceled(t, a.stop())
		canceled(t, b.stop())
	})
}

// A place that could not be saved at the end is told.
func TestSaveThatFailsAtTheEndIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 1, 10)
		a := w.start("a", 700*time.Millisecond)
		w.until("a works", time.Minute, func() bool { w.mu.Lock(); defer w.mu.Unlock(); return len(w.handled["s00"]) > 3 })
		a.line.cut.Store(true)
		if err := a.stop(); err == nil || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "final checkpoint") {
			t.Errorf("%v", err)
		}
	})
}

func TestWrongSettingsAreRefused(t *testing.T) {
	open := func(string) backend.Source { return nil }
	list := func(context.Context) ([]string, error) { return nil, nil }
	for _, c := range []struct {
		name    string
		leases  lease.Store
		group   string
		streams Streams
		opts    []Option
		want    string
	}{
		{"no leases", nil, "g", Fixed(open, "s"), nil, "nil"},
		{"no name", lease.NewMemory(), "", Fixed(open, "s"), nil, "name of the group is empty"},
		{"slash", lease.NewMemory(), "a/b", Fixed(open, "s"), nil, "slash"},
		{"no streams", lease.NewMemory(), "g", Fixed(open), nil, "no streams"},
		{"empty stream", lease.NewMemory(), "g", Fixed(open, ""), nil, "name of a stream is empty"},
		{"nothing opens", lease.NewMemory(), "g", Fixed(nil, "s"), nil, "opens"},
		{"zero Streams", lease.NewMemory(), "g", Streams{}, nil, "opens"},
		{"discover too often", lease.NewMemory(), "g", Discover(open, list, 0), nil, "Discover every"},
		{"short lease", lease.NewMemory(), "g", Fixed(open, "s"), []Option{LeaseTime(time.Millisecond)}, "LeaseTime"},
		{"no drain", lease.NewMemory(), "g", Fixed(open, "s"), []Option{DrainTimeout(0)}, "DrainTimeout"},
		{"long drain", lease.NewMemory(), "g", Fixed(open, "s"), []Option{DrainTimeout(10 * time.Second)}, "4 times"},
		{"long name", lease.NewMemory(), "g", Fixed(open, "s"), []Option{Member(strings.Repeat("m", 250))}, "Member"},
		{"no logger", lease.NewMemory(), "g", Fixed(open, "s"), []Option{Logger(nil)}, "Logger"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := New(c.leases, c.group, c.streams, codec.JSON[int](), c.opts...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
	g, err := New(lease.NewMemory(), "g", Fixed(open, "s"), codec.JSON[int]())
	if err != nil || g.Each(t.Context(), nil) == nil || g.Process(t.Context(), nil) == nil {
		t.Errorf("%v; a nil function must be refused", err)
	}
}
