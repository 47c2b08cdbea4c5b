package producer

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// refuse carries out the refusal of the first unacknowledged part, whose seq and those behind it are free again: behind
// a refusal nothing is stored. A part of one record fails; a larger one is cut at the culprit, or in half until the
// culprit stands alone, and the other records go on in order.
//
// When the store cannot say which of the unacknowledged it refused, they are first sent one at a time.
func (e *engine) refuse(reason error, unsure bool) error {
	if unsure && e.atMostOnce && !errors.Is(reason, backend.ErrTransient) {
		return reason
	}
	e.mu.Lock()
	if unsure {
		e.solo = e.window.sent
		e.mu.Unlock()
		return nil
	}
	w := &e.window
	for i := range w.parts {
		w.parts[i].taken = false
	}
	e.solo = 0
	p := w.parts[0]
	if n := p.hi - p.lo; n > 1 {
		var culprit *backend.RecordError
		if errors.As(reason, &culprit) && culprit.Index >= 0 && culprit.Index < n {
			w.split(e.limits.Load(), culprit.Index, culprit.Index+1)
		} else {
			w.split(e.limits.Load(), n/2)
		}
		e.mu.Unlock()
		return nil
	}
	over, ev := e.fail(reason)
	e.refusals++
	inARow := e.refusals
	e.mu.Unlock()
	e.logger.Warn("producer: record refused", "err", reason)
	e.settle(over, failed, []BatchEvent{ev})
	if e.refusedInARow > 0 && inARow >= e.refusedInARow {
		return fmt.Errorf("%d records in a row were refused, the limit RefusedInARow; the last: %w", inARow, reason)
	}
	return nil
}

// fail decides the first part against its one record. It is called with the lock held.
func (e *engine) fail(reason error) (over []*flight, ev BatchEvent) {
	w := &e.window
	p := w.parts[0]
	err := fmt.Errorf("producer: record refused: %w", reason)
	if p.decide(span{first: p.lo, n: 1, err: err}) {
		over = append(over, p.flight)
	}
	e.failures++
	if e.failure == nil {
		e.failure = err
	}
	e.stats.Failed++
	ev = p.event(w.next, err)
	w.pop(1)
	return over, ev
}
