package producer

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// refusal reports whether err condemns the first unacknowledged batch, and whether it may instead mean one behind it.
func refusal(err error) (is, unsure bool) {
	is = errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)
	return is, is && errors.Is(err, backend.ErrIndeterminate)
}

// decline is for a part that Send refused. What was sent before it is decided first: then it is the first part, and the
// refusal is about it. The session may be alive or not, so it is closed.
func (e *engine) decline(ctx context.Context, s backend.Session, no uint64, reason error) {
	for e.inFlight() > 0 {
		if !e.awaitSlot(ctx) {
			return
		}
	}
	e.cut(s, no, reason)
}

func (e *engine) inFlight() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.window.sent
}

// refuse carries out a refusal of the first part. A part of one record fails; a larger one is cut at the culprit, or in half until the
// culprit stands alone, and the other records go on in order. It returns an error when the producer has to stop.
//
// When the store cannot say which of the suspects, the first so many parts, it refused, a search finds the culprit first.
func (e *engine) refuse(reason error, suspects int, unsure bool) error {
	if unsure && e.atMostOnce && !errors.Is(reason, backend.ErrTransient) {
		return reason
	}
	e.mu.Lock()
	w := &e.window
	if unsure {
		w.suspect(suspects)
		e.mu.Unlock()
		return nil
	}
	alone := w.sent <= 1
	w.free()
	p := w.parts[0]
	if n := p.hi - p.lo; n > 1 {
		at, pieces := cuts(reason, n)
		w.split(e.limits.Load(), at...)
		if alone { // else the store says which of several parts it refuses, so that nothing has to wait
			w.suspectPieces(pieces, e.limits.Load())
		}
		e.mu.Unlock()
		return nil
	}
	w.refusals++
	inARow := w.refusals
	over, ev := e.fail(reason)
	e.mu.Unlock()
	e.logger.Warn("producer: record refused", "err", reason)
	e.settle(over, failed, []BatchEvent{ev})
	if e.refusedInARow > 0 && inARow >= e.refusedInARow {
		return fmt.Errorf("%d records in a row were refused, the limit RefusedInARow; the last: %w", inARow, reason)
	}
	return nil
}

// cuts says where to cut a part of n records that was refused, and how many of the pieces may hold the culprit: around the
// record that the store names, else in half.
func cuts(reason error, n int) (at []int, pieces int) {
	var culprit *backend.RecordError
	if !errors.As(reason, &culprit) || culprit.Index < 0 || culprit.Index >= n {
		return []int{n / 2}, 2
	}
	return []int{culprit.Index, culprit.Index + 1}, min(culprit.Index+1, 2)
}

// fail decides the first part against its one record. It is called with the lock held.
func (e *engine) fail(reason error) (over []*flight, ev BatchEvent) {
	w := &e.window
	p := w.parts[0]
	err := &refused{cause: reason, lost: p.lost}
	if p.decide(span{first: p.lo, n: 1, err: err}) {
		over = append(over, p.flight)
	}
	e.failures.add(p.no, err)
	e.stats.Failed++
	ev = p.event(w.next, err)
	w.pop(1)
	if w.refusals == 1 { // a second in a row may have more neighbours that are refused, and they are found faster in pieces
		w.join(e.limits.Load())
	}
	return over, ev
}
