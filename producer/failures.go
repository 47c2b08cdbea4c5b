package producer

import (
	"fmt"
	"slices"
)

// failures keeps the refused records until a Flush or Close has returned them. Of several that wait at the same time each
// returns every failure that it covers, so that no goroutine learns of another's refused record in place of its own.
type failures struct {
	kept  []tallied // not returned yet, in the order of their batches
	begun []*flushing
}

// tallied sums up refused records.
type tallied struct {
	batch uint64 // the newest batch that held one
	n     int
	first error
}

// flushing is one Flush or Close under way.
type flushing struct {
	upto    uint64 // it covers the batches up to this one
	refused tallied
}

func (t *tallied) add(u tallied) {
	if t.n == 0 {
		t.first = u.first
	}
	t.batch = u.batch
	t.n += u.n
}

func (t *tallied) err() error {
	if t.n > 1 {
		return fmt.Errorf("%w (the first of %d records refused)", t.first, t.n)
	}
	return t.first
}

// add notes that a record of the given batch was refused. Batches are decided in order.
func (f *failures) add(batch uint64, err error) {
	one := tallied{batch: batch, n: 1, first: err}
	for _, fl := range f.begun {
		if batch <= fl.upto {
			fl.refused.add(one)
		}
	}
	// Two entries are needed only where a flush covers the one and not the other.
	if i := len(f.kept) - 1; i >= 0 && !slices.ContainsFunc(f.begun, func(fl *flushing) bool {
		return f.kept[i].batch <= fl.upto && fl.upto < batch
	}) {
		f.kept[i].add(one)
		return
	}
	f.kept = append(f.kept, one)
}

// begin starts a flush that covers the batches up to the given one: all that has been decided, and maybe more.
func (f *failures) begin(upto uint64) *flushing {
	fl := &flushing{upto: upto}
	for _, t := range f.kept {
		fl.refused.add(t)
	}
	f.begun = append(f.begun, fl)
	return fl
}

// end returns the failure that fl covers, and forgets what fl has returned.
func (f *failures) end(fl *flushing) error {
	f.leave(fl)
	f.kept = slices.DeleteFunc(f.kept, func(t tallied) bool { return t.batch <= fl.upto })
	return fl.refused.err()
}

// leave ends a flush that returns no failure.
func (f *failures) leave(fl *flushing) {
	f.begun = slices.DeleteFunc(f.begun, func(other *flushing) bool { return other == fl })
}
