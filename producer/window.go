package producer

import (
	"slices"
	"time"

	"github.com/headrace/headrace/backend"
)

// A part is a batch on its way, or a piece of one that had to be cut. It is sent whole under one seq.
type part struct {
	*flight
	lo, hi   int // its records, of the flight's
	metered  int
	attempts int
	sentAt   time.Time // to the session that is open
	taken    bool      // a session has taken it: it may be stored, unless a refusal says later that it is not
	lost     bool      // a session that took it was lost: it may be stored, whatever a later session says of it
}

func (p *part) records() []backend.Record { return p.Items[p.lo:p.hi] }

func (p *part) maybeStored() bool { return p.taken || p.lost }

// window is the parts that are not decided, in order. The seq of a part follows from its place: a resend keeps it, and
// when a refused part leaves, those behind move up into the seqs that it freed.
type window struct {
	parts []part
	sent  int    // of the parts, given to the session that is open
	next  uint64 // seq of parts[0]: all before are decided
	search
	tally
	latency time.Duration // of the last ack
}

// push appends a batch. When the memory is used up to its end the parts move to the beginning of new memory, which has room
// for as many again: a push costs the same however many there are.
func (w *window) push(f *flight, l *backend.Limits) {
	if n := len(w.parts); n == cap(w.parts) {
		w.parts = append(make([]part, 0, max(2*n, 16)), w.parts...)
	}
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

// pop removes the first n parts: they are decided. Their seqs are free again unless they were acknowledged. The parts behind
// them stay where they are, because moving them at each ack costs the square of how many there are.
func (w *window) pop(n int) {
	for _, p := range w.parts[:min(n, w.sent)] {
		w.flying -= p.hi - p.lo
	}
	clear(w.parts[:n])
	w.parts = w.parts[n:]
	w.sent = max(w.sent-n, 0)
}

// lose notes that the session has ended and that nobody knows what it has stored of what it took.
func (w *window) lose() {
	for i := range w.parts[:w.sent] {
		w.parts[i].lost = true
	}
}

// free notes that the store has nothing of what the session took and did not acknowledge: it refused the first part, or the
// whole session. The search, if there was one, is over.
func (w *window) free() {
	for i := range w.parts {
		w.parts[i].taken = false
	}
	w.search = search{}
}

// split cuts the first part, which the store refused, at the given places among its records. It returns the number of
// pieces.
func (w *window) split(l *backend.Limits, at ...int) int {
	p := w.parts[0]
	var cuts []part
	lo := p.lo
	for _, i := range append(at, p.hi-p.lo) {
		if hi := p.lo + i; hi > lo {
			cuts = append(cuts, part{flight: p.flight, lo: lo, hi: hi, metered: meter(l, p.Items[lo:hi]), lost: p.lost})
			lo = hi
		}
	}
	w.parts = slices.Replace(w.parts, 0, 1, cuts...)
	return len(cuts)
}

// join makes one part of the pieces at the front of the window, where a record between them was refused. They would cost a
// store that takes one batch at a time a round trip each.
func (w *window) join(l *backend.Limits) {
	n := 1
	for ; n < len(w.parts); n++ {
		p, q := &w.parts[0], &w.parts[n]
		if q.flight != p.flight || p.maybeStored() || q.maybeStored() || !fits(l, q.hi-p.lo, p.metered+q.metered) {
			break
		}
		p.hi, p.metered, p.attempts = q.hi, p.metered+q.metered, 0
	}
	if n > 1 {
		w.parts = slices.Delete(w.parts, 1, n)
	}
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
	for n < len(w.parts) && w.parts[n].maybeStored() {
		n++
	}
	return n
}
