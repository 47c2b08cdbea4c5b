package producer

import (
	"fmt"
	"slices"
)

// failures keeps the refused records until a Flush or Close has returned them. When several calls wait at the same time, each
// returns every failure among its own records. Otherwise a goroutine could learn of the refused record of another goroutine
// and never of its own. The engine's lock guards failures.
type failures struct {
	unreported []refusalSum // not returned yet, in the order of their batches
	running    []*flushing  // the calls of Flush and Close that have not returned
}

// A refusalSum sums up refused records. We keep the first error and a number, so that any number of refused records takes little
// memory.
type refusalSum struct {
	batch uint64 // number of the newest batch that held a refused record
	n     int
	first error
}

// flushing is a call of Flush or Close that has not returned.
type flushing struct {
	upto    uint64     // the call covers the batches up to this number
	refused refusalSum // the failures among these batches
}

func (r *refusalSum) add(more refusalSum) {
	if r.n == 0 {
		r.first = more.first
	}
	r.batch = more.batch
	r.n += more.n
}

func (r *refusalSum) err() error {
	if r.n > 1 {
		return fmt.Errorf("%w (the first of %d records refused)", r.first, r.n)
	}
	return r.first
}

// add notes that a record of the given batch was refused. Batches are decided in order.
func (f *failures) add(batch uint64, err error) {
	refusal := refusalSum{batch: batch, n: 1, first: err}
	for _, fl := range f.running {
		if batch <= fl.upto {
			fl.refused.add(refusal)
		}
	}
	// The refusal joins the newest entry, unless a running flush ends between the two batches: that flush takes the newest
	// entry along and must leave this refusal for a later flush.
	if i := len(f.unreported) - 1; i >= 0 && !slices.ContainsFunc(f.running, func(fl *flushing) bool {
		return f.unreported[i].batch <= fl.upto && fl.upto < batch
	}) {
		f.unreported[i].add(refusal)
		return
	}
	f.unreported = append(f.unreported, refusal)
}

// begin starts a flush that covers the batches up to the given number, and the batches decided before. The flush takes all
// failures known.
func (f *failures) begin(upto uint64) *flushing {
	fl := &flushing{upto: upto}
	for _, r := range f.unreported {
		fl.refused.add(r)
		fl.upto = max(fl.upto, r.batch)
	}
	f.running = append(f.running, fl)
	return fl
}

// end returns the failures of fl, and forgets them.
func (f *failures) end(fl *flushing) error {
	f.leave(fl)
	f.unreported = slices.DeleteFunc(f.unreported, func(r refusalSum) bool { return r.batch <= fl.upto })
	return fl.refused.err()
}

// leave ends a flush that returns no failure. The failures stay for the next flush.
func (f *failures) leave(fl *flushing) {
	f.running = slices.DeleteFunc(f.running, func(other *flushing) bool { return other == fl })
}
