package producer

import (
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// refuse carries out a refusal of the first part. When the part holds a single record, the record fails. A larger part is cut
// around the record that the store names, or in half, until the culprit stands alone; the other records go on in order.
//
// When the store cannot say which of the suspects (the first parts of the window) it refused, a search finds the culprit
// first. refuse returns an error when the producer has to stop.
func (e *engine) refuse(reason error, suspects int, unsure bool) error {
	if unsure && e.atMostOnce && !errors.Is(reason, backend.ErrTransient) {
		return reason // a search may store records twice
	}
	e.mu.Lock()
	w := &e.window
	if unsure {
		w.suspect(suspects)
		e.mu.Unlock()
		return nil
	}
	alone := w.sent <= 1
	w.clearTaken()
	p := w.parts[0]
	if n := p.hi - p.lo; n > 1 {
		at, pieces := cuts(reason, n)
		w.split(e.limits.Load(), at...)
		if alone {
			// A store that has said which of several parts it refuses will say so again, and then no piece has to wait. Here the
			// part was alone, so the store had nothing to say: we search the pieces one after another.
			w.suspectPieces(pieces, e.limits.Load())
		}
		e.mu.Unlock()
		return nil
	}
	w.refusedInARow++
	inARow := w.refusedInARow
	decided, ev := e.failFirstLocked(reason)
	e.mu.Unlock()
	e.logger.Warn("producer: record refused", "err", reason)
	e.announce(decided, hookFailed, []BatchEvent{ev})
	if e.refusedInARow > 0 && inARow >= e.refusedInARow {
		return fmt.Errorf("%d records in a row were refused, the limit RefusedInARow; the last: %w", inARow, reason)
	}
	return nil
}

// cuts says where to cut a part of n records that was refused, and how many of the pieces may hold the culprit. When the store
// names the culprit, the cuts are before and behind the record; otherwise the cut is in the middle. The suspects are the piece
// before the named record, if there is a piece, and the record itself; the piece behind the record is no suspect.
func cuts(reason error, n int) (at []int, pieces int) {
	var culprit *backend.RecordError
	if !errors.As(reason, &culprit) || culprit.Index < 0 || culprit.Index >= n {
		return []int{n / 2}, 2
	}
	return []int{culprit.Index, culprit.Index + 1}, min(culprit.Index+1, 2)
}

// failFirstLocked fails the only record of the first part and removes the part from the window.
func (e *engine) failFirstLocked(reason error) (decided []*batchData, ev BatchEvent) {
	w := &e.window
	p := w.parts[0]
	err := refused(reason, p.lostWithSession)
	if p.decide(span{first: p.lo, n: 1, err: err}) {
		decided = append(decided, p.batchData)
	}
	e.failures.add(p.no, err)
	e.stats.Failed++
	ev = p.event(w.firstSeq, err)
	w.pop(1)
	if w.refusedInARow == 1 {
		// After a second refusal in a row, the records beside may be refused too, and small pieces find them faster. So only
		// the first refusal joins the pieces again.
		w.join(e.limits.Load())
	}
	return decided, ev
}
