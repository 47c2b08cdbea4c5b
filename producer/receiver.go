package producer

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// receive takes acks until Recv returns the reason for the end of the session.
func (e *engine) receive(ctx context.Context, s backend.Session) error {
	for {
		ack, err := s.Recv(ctx)
		if err != nil {
			return err
		}
		if err := e.ack(ack); err != nil {
			// The sink acknowledged a batch that was not in flight. The error is fatal, because nobody knows what such a sink
			// has stored.
			return err
		}
	}
}

// ack decides every part up to a.Seq: the records are stored.
func (e *engine) ack(a backend.Ack) error {
	e.mu.Lock()
	w := &e.window
	// A seq below firstSeq was acknowledged before. A seq from firstSeq+sent on was not given to this session.
	if a.Seq < w.firstSeq || a.Seq-w.firstSeq >= uint64(w.sent) {
		first, inFlight := w.firstSeq, w.sent
		e.mu.Unlock()
		return fmt.Errorf("the sink acknowledged seq %d, but only %d batches from seq %d on are in flight", a.Seq, inFlight, first)
	}
	n := int(a.Seq-w.firstSeq) + 1
	// Everything about the parts is noted before acknowledge, because acknowledge removes the parts from the window.
	var events []BatchEvent
	var decided []*batchData
	for i, p := range w.parts[:n] {
		s := span{first: p.lo, n: p.hi - p.lo}
		if i == n-1 { // an ack for several batches knows the offsets of the last batch only
			s.offsetOf = a.OffsetOf
		}
		if p.decide(s) {
			decided = append(decided, p.batchData)
		}
		e.stats.Acked += uint64(s.n)
		if len(e.hooks) > 0 {
			events = append(events, p.event(w.firstSeq+uint64(i), nil))
		}
	}
	w.acknowledge(n, e.limits.Load())
	if e.watchdog != nil { // the time of the part that is the oldest now begins
		if e.owedLocked() {
			e.watchdog.Reset(e.ackTimeout)
		} else {
			e.watchdog.Stop()
		}
	}
	e.mu.Unlock()
	e.storeAnswered()
	e.announce(decided, hookAcked, events)
	return nil
}

// announce tells everyone about a decision: announce opens the latches of the decided batches, wakes the sender, and calls
// the hooks. The caller must not hold e.mu: a hook may call methods of the Producer that take the lock.
func (e *engine) announce(decided []*batchData, hook func(*Hooks) func(BatchEvent), events []BatchEvent) {
	for _, d := range decided {
		e.retire(d)
	}
	// One token is enough: there is a single sender, and the sender looks at the window again. A token that is left over from an
	// earlier decision costs the sender one look.
	select {
	case e.shrunk <- struct{}{}:
	default:
	}
	for _, ev := range events {
		callHooks(e, hook, ev)
	}
}
