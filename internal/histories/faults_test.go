package histories

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
)

// faulty is a sink on which things go wrong, with a tap on top.
type faulty struct {
	tap    *tap
	broken interface {
		Break(error)
		Injected() map[string]int
	}
}

func (f *faulty) injected() (n int) {
	for _, k := range f.broken.Injected() {
		n += k
	}
	return n
}

// errFatal stops a producer. It wraps ErrIndeterminate, because it may come in place of the ack of a stored batch.
var errFatal = fmt.Errorf("%w: %w", backend.ErrFenced, backend.ErrIndeterminate)

// newSink makes the way to the stream for the producers of one slot.
func (h *history) newSink(d *rand.Rand, once bool) *faulty {
	t := &tap{h: h, takings: h.takings, id: idOf, once: once}
	if !h.refuses && chance(d, 0.4) {
		cut := newCutter(h.stream, h.p, d)
		t.Sink, t.dedup = cut, true
		return &faulty{t, cut}
	}
	unwant := func(r *backend.Record) bool { return mustParse(r).kind == unwanted }
	return h.flakySink(d, t, h.stream, unwant, chance(d, 0.5))
}

// flakySink makes one that refuses what match picks, in one of the ways in which stores do.
func (h *history) flakySink(d *rand.Rand, t *tap, sink backend.Sink, match func(*backend.Record) bool, dedup bool) *faulty {
	indeterminate := fmt.Errorf("%w: %w", backend.ErrRejected, backend.ErrIndeterminate)
	refusal := pick(d,
		backendtest.RefuseNamed(match, backend.ErrRejected),
		backendtest.RefuseUnnamed(match, backend.ErrTooLarge),
		backendtest.RefuseUnnamed(match, indeterminate),
		refuseInSend(match),
	)
	extra := []backendtest.Effect{
		backendtest.Lifetime(h.short(), nil), backendtest.Lifetime(0, nil), backendtest.Delay(h.short()),
		backendtest.Fail(errFatal), backendtest.Stall(), backendtest.Hang(),
	}
	if h.losesAcks {
		extra = append(extra, backendtest.LoseAck(), backendtest.LoseAck())
	}
	flaky := backendtest.NewFlakySink(sink, h.outage, refusal, backendtest.Random(d.Uint64(), h.p),
		backendtest.Random(d.Uint64(), h.p/8, extra...))
	flaky.Dedup = dedup
	t.Sink, t.dedup = flaky, dedup
	return &faulty{t, flaky}
}

// refuseInSend refuses a batch before it is taken, and the session ends.
func refuseInSend(match func(*backend.Record) bool) backendtest.Fault {
	return func(c backendtest.Call) backendtest.Effect {
		for i := range c.Records {
			if match(&c.Records[i]) {
				return backendtest.Fail(backend.ErrRejected)
			}
		}
		return backendtest.Effect{}
	}
}

// newSource makes the way to the stream for one consumer.
func (h *history) newSource(d *rand.Rand) *backendtest.FlakySource {
	return backendtest.NewFlakySource(h.stream, h.outage, backendtest.Random(d.Uint64(), h.p),
		backendtest.Random(d.Uint64(), h.p/8, backendtest.Lifetime(h.short(), nil), backendtest.Delay(h.short())))
}

// outage fails openings while the store is down, which is for as many of them as was drawn.
func (h *history) outage(c backendtest.Call) backendtest.Effect {
	if (c.Op == backendtest.OnOpen || c.Op == backendtest.OnOpenReader) && h.down.Add(-1) >= 0 {
		return backendtest.Fail(nil)
	}
	return backendtest.Effect{}
}

// storeFaults are those of a checkpoint store: single calls that fail before or after they took effect, and outages.
func (h *history) storeFaults(d *rand.Rand) []checkpointtest.Fault {
	var faults []checkpointtest.Fault
	for n := 1; n < 300; n++ {
		for _, op := range []checkpointtest.Op{checkpointtest.Claim, checkpointtest.Save, checkpointtest.Load} {
			if chance(d, h.p/2) {
				faults = append(faults, checkpointtest.Fault{Op: op, Nth: n, Times: pick(d, 1, 1, 1, 5), After: chance(d, 0.5)})
			}
		}
	}
	return faults
}

// short is a time that matters: within a session's life, and well below AckTimeout.
func (h *history) short() time.Duration { return 3 * time.Millisecond }

// On a file time is real, and short.
func (h *history) backoff() (least, most time.Duration) {
	if h.world.pullable() {
		return time.Millisecond, 4 * time.Millisecond
	}
	return 50 * time.Millisecond, time.Second
}

func (h *history) ackTimeout() time.Duration {
	if h.world.pullable() {
		return 200 * time.Millisecond
	}
	return 5 * time.Second
}

// idleTimeout is a time that ends sessions again and again, beside all that senders and faults do. With 0, sessions stay open.
func (h *history) idleTimeout(d *rand.Rand) time.Duration {
	return pick(d, time.Millisecond, 7*time.Millisecond, 0)
}
