package group

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
		if a.line.acquired.Load() != 1 || b.line.acquired.Load() != 0 || w.repeated() != 0 || !w.allHandled(100)() {
			t.Errorf("%d and %d claims in ten minutes, %d repeated", a.line.acquired.Load(), b.line.acquired.Load(), w.repeated())
		}
		a.kill()
		w.until("b holds the stream", 18*time.Second, func() bool { return w.holds()["b"] == 1 })
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
		if n := a.line.acquired.Load(); n < 10 || n > 21 {
			t.Errorf("%d claims in 20 leases", n)
		}
		end()
		<-ended
		canceled(t, a.stop())
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
		if n := a.line.acquired.Load(); n < 60 || n > 250 {
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
		before := a.line.acquired.Load() + b.line.acquired.Load()
		time.Sleep(10 * time.Minute)
		if n := a.line.acquired.Load() + b.line.acquired.Load() - before; n != 0 || w.repeated() != 0 {
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

// Without a logger, the operator learns that the group does not begin, and no more.
func TestGroupThatCannotBeginSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		before := slog.Default()
		slog.SetDefault(slog.New(slog.NewTextHandler(&out, nil)))
		defer slog.SetDefault(before)
		w := newWorld(t, 1, 1)
		leases := &line{Store: w.leases}
		leases.cut.Store(true)
		g, err := New(leases, "billing", Fixed(w.open, w.names...), codec.JSON[int]())
		if err != nil {
			t.Fatal(err)
		}
		ctx, end := context.WithTimeout(t.Context(), time.Minute)
		defer end()
		if err := g.Process(ctx, func(context.Context, string, consumer.Message[int]) error { return nil }); err != context.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		if said := out.String(); strings.Count(said, "\n") != 1 || !strings.Contains(said, "could not renew the leases") || !strings.Contains(said, "group=billing") {
			t.Errorf("the log: %s", said)
		}
	})
}
