package producer

import (
	"slices"

	"github.com/headrace/headrace/backend"
)

// A part is a batch on its way, or a piece of one that had to be cut. It is sent whole under one seq.
type part struct {
	*flight
	lo, hi   int // its records, of the flight's
	metered  int
	attempts int
	taken    bool // some session has taken it: it may be stored
}

func (p *part) records() []backend.Record { return p.Items[p.lo:p.hi] }

// window is the parts that are not decided, in order. The seq of a part follows from its place: a resend keeps it, and
// when a refused part leaves, those behind move up into the seqs that it freed.
type window struct {
	parts []part
	sent  int    // of the parts, given to the session that is open
	next  uint64 // seq of parts[0]: all before are decided
}

// push appends a batch.
func (w *window) push(f *flight, l *backend.Limits) {
	w.parts = appendCut(w.parts, part{flight: f, hi: len(f.Items), metered: f.Metered}, l)
}

// refit cuts the parts that no session has taken to fit what the store takes now. Those that were taken keep their
// records, as a resend must; if the store has come to refuse one, it is cut then.
func (w *window) refit(l *backend.Limits) {
	first := w.taken()
	if !slices.ContainsFunc(w.parts[first:], func(p part) bool { return !fits(l, p.hi-p.lo, p.metered) }) {
		return
	}
	rest := slices.Clone(w.parts[first:])
	w.parts = w.parts[:first]
	for _, p := range rest {
		w.parts = appendCut(w.parts, p, l)
	}
}

// appendCut appends p in pieces that the store takes: its limits may have shrunk since the batch was filled.
func appendCut(parts []part, p part, l *backend.Limits) []part {
	if fits(l, p.hi-p.lo, p.metered) {
		return append(parts, p)
	}
	// As many to a piece as fit, and at least one: a record that fits nowhere goes alone, for the store to refuse.
	cut := part{flight: p.flight, lo: p.lo, hi: p.lo}
	for i := p.lo; i < p.hi; i++ {
		size := meter(l, p.Items[i:i+1])
		if cut.hi > cut.lo && !fits(l, cut.hi-cut.lo+1, cut.metered+size) {
			parts = append(parts, cut)
			cut = part{flight: p.flight, lo: i, hi: i}
		}
		cut.hi++
		cut.metered += size
	}
	return append(parts, cut)
}

func fits(l *backend.Limits, records, bytes int) bool {
	return (l.BatchRecords == 0 || records <= l.BatchRecords) && (l.BatchBytes == 0 || bytes <= l.BatchBytes)
}

// pop removes the first n parts: they are decided, and their seqs are used up when acked says so.
func (w *window) pop(n int) {
	w.parts = slices.Delete(w.parts, 0, n)
	w.sent = max(w.sent-n, 0)
}

// split cuts the first part, which the store refused, at the given places among its records.
func (w *window) split(l *backend.Limits, at ...int) {
	p := w.parts[0]
	var cuts []part
	lo := p.lo
	for _, i := range append(at, p.hi-p.lo) {
		if hi := p.lo + i; hi > lo {
			cuts = append(cuts, part{flight: p.flight, lo: lo, hi: hi, metered: meter(l, p.Items[lo:hi])})
			lo = hi
		}
	}
	w.parts = slices.Replace(w.parts, 0, 1, cuts...)
}

// meter sums what the store's meter says. A record that it has come to refuse counts nothing: it fails when it is sent.
func meter(l *backend.Limits, recs []backend.Record) (sum int) {
	for i := range recs {
		if size, err := l.Meter(&recs[i]); err == nil {
			sum += size
		}
	}
	return sum
}

// taken counts the parts that may be stored. They are always the first ones.
func (w *window) taken() int {
	n := 0
	for n < len(w.parts) && w.parts[n].taken {
		n++
	}
	return n
}
