package group

import (
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/consumer"
)

// A member that was suspended between the lease and its loop, for longer than the lease, takes no epoch from the member
// that has the lease now: neither its first loop nor a later one.
func TestStaleMemberFencesNobody(t *testing.T) {
	for _, loopsBefore := range []int{0, 1} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, 1, 10)
			held, let, said := make(chan struct{}), make(chan struct{}), make(chan error, 1)
			a := w.run("a", Fixed(w.open, w.names...), func(ctx context.Context, g *Group[int]) error {
				return g.Each(ctx, func(ctx context.Context, stream string, c *consumer.Consumer[int]) error {
					for range loopsBefore {
						for range c.Messages(ctx) {
							break
						}
					}
					close(held)
					<-let
					for m, err := range c.Messages(ctx) {
						if err == nil { // as SaveTx does
							err = w.leases.Save(ctx, g.Key(stream), m.Checkpoint())
						}
						said <- err
						<-ctx.Done()
						return nil
					}
					return nil
				})
			})
			<-held
			w.leases.Shift(20 * time.Second)
			cp, ok, err := w.leases.Acquire(t.Context(), "billing", "x", "s00", time.Hour)
			if !ok || err != nil {
				t.Fatal(ok, err)
			}
			close(let)
			if err := <-said; !errors.Is(err, backend.ErrFenced) {
				t.Errorf("after %d loops: the member whose lease was lost: %v, want ErrFenced", loopsBefore, err)
			}
			cp.Offset = "1"
			if err := w.leases.Save(t.Context(), "s00/billing", cp); err != nil {
				t.Errorf("after %d loops: the member that has the lease: %v", loopsBefore, err)
			}
			canceled(t, a.stop())
		})
	}
}

// Handlers that obey their ctx begin and end under a valid lease, by the clock of the store, whatever the line to the
// store does.
func TestHandlersRunOnlyUnderTheLease(t *testing.T) {
	for fault, disturb := range map[string]func(l *line, rnd *rand.Rand){
		"requests are slow": func(l *line, rnd *rand.Rand) { l.request.Store(rnd.Int64N(int64(4 * time.Second))) },
		"replies are slow, or the store is away": func(l *line, rnd *rand.Rand) {
			l.reply.Store(int64(2900 * time.Millisecond))
			l.cut.Store(rnd.IntN(2) == 0)
		},
		"the store is away": func(l *line, rnd *rand.Rand) { l.cut.Store(rnd.IntN(2) == 0) },
		"replies are lost":  func(l *line, rnd *rand.Rand) { l.loseReplies.Store(rnd.IntN(2) == 0) },
	} {
		t.Run(fault, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t, 4, 3000)
				valid := func(member, when, stream string) {
					state, err := w.leases.Members(context.Background(), "billing")
					if owner := nameOf(state.Owners[stream]); err != nil || owner != member {
						t.Errorf("%s of a handler of %s on %s: the owner is %q, %v", when, member, stream, owner, err)
					}
				}
				start := func(name string) *process {
					return w.startWith(name, Fixed(w.open, w.names...), func(ctx context.Context, stream string, m consumer.Message[int]) error {
						valid(name, "begin", stream)
						err := w.handle(ctx, name, stream, m.Value, 2*time.Second)
						valid(name, "end", stream)
						return err
					}, DrainTimeout(time.Second)) // shorter than a renewal may last
				}
				a, b := start("a"), start("b")
				rnd := rand.New(rand.NewPCG(1, 2))
				for range 60 {
					time.Sleep(time.Duration(rnd.Int64N(int64(20 * time.Second))))
					disturb(a.line, rnd)
					disturb(b.line, rnd)
				}
				for _, p := range []*process{a, b} {
					p.line.mend()
				}
				w.until("the streams are shared", time.Minute, w.shared("a", "b"))
				w.neverBoth()
				canceled(t, a.stop())
				canceled(t, b.stop())
			})
		})
	}
}
