package producer

import (
	"slices"
	"time"

	"github.com/headrace/headrace/backend"
)

// A part is a batch in the window, or a piece of a batch that had to be cut. A part is always sent whole, under one seq.
type part struct {
	*batchData
	lo, hi          int       // the records of the batch from lo to hi-1
	metered         int       // bytes of the records, by the store's meter
	attempts        int       // how often the part was given to a session
	sentAt          time.Time // when the part was given to the session that is open
	taken           bool      // a session has taken the part: the part may be stored, until clearTaken
	lostWithSession bool      // a session that took the part was lost: the part may be stored, whatever a later session says
}

func (p *part) records() []backend.Record { return (*p.made)[p.lo:p.hi] }

func (p *part) maybeStored() bool { return p.taken || p.lostWithSession }

// window holds the parts that are not decided, in order. The seq of a part follows from its place: parts[i] has the seq
// firstSeq+i. A part that is sent again is still in its place, and so has the same seq. When a refused part leaves, the parts
// behind the refused part move up, and take the seqs that became free.
//
// The engine's lock guards the window: every method is called with that lock held.
type window struct {
	parts    []part
	sent     int    // parts[:sent] were given to the session that is open
	firstSeq uint64 // the seq of parts[0]; all seqs before are acknowledged
	search
	tally
	latency   time.Duration // time from sending to ack of the newest part acknowledged
	owedSince time.Time     // when parts[0] was sent or, if that is later, when the newest ack arrived
}

// push appends a batch. pop advances the slice, so the room in front is lost. When the memory is used up to its end, the parts
// move to new memory with room for as many again. Therefore the average cost of a push does not depend on the number of parts.
func (w *window) push(d *batchData, l *backend.Limits) {
	if n := len(w.parts); n == cap(w.parts) {
		w.parts = append(make([]part, 0, max(2*n, 4)), w.parts...)
	}
	w.parts = appendCut(w.parts, part{batchData: d, hi: len(*d.made), metered: d.Metered}, l)
}

// refit cuts the parts that are certainly not stored, so that these parts fit the current limits of the store. A part that may be
// stored keeps its records, because a resend under the same seq must hold the same records. If the store refuses that part, the
// part is cut after the refusal.
func (w *window) refit(l *backend.Limits) {
	first := w.maybeStored() // the first part that may be cut
	if !slices.ContainsFunc(w.parts[first:], func(p part) bool { return !fits(l, p.hi-p.lo, p.metered) }) {
		return
	}
	rest := slices.Clone(w.parts[first:])
	w.parts = w.parts[:first]
	for _, p := range rest {
		w.parts = appendCut(w.parts, p, l)
	}
}

// appendCut appends p to parts, in pieces that the store takes. The limits of the store may have become smaller since the batch
// was filled.
func appendCut(parts []part, p part, l *backend.Limits) []part {
	if fits(l, p.hi-p.lo, p.metered) {
		return append(parts, p)
	}
	// Each piece gets as many records as fit, and at least one: a record too large for any piece goes alone, so that the store
	// refuses the record and nothing else.
	cut := part{batchData: p.batchData, lo: p.lo, hi: p.lo}
	for i := p.lo; i < p.hi; i++ {
		size := meteredSum(l, (*p.made)[i:i+1])
		if cut.hi > cut.lo && !fits(l, cut.hi-cut.lo+1, cut.metered+size) {
			parts = append(parts, cut)
			cut = part{batchData: p.batchData, lo: i, hi: i}
		}
		cut.hi++
		cut.metered += size
	}
	return append(parts, cut)
}

// fits reports whether a batch of that size is within the limits. A limit of 0 means no limit.
func fits(l *backend.Limits, records, bytes int) bool {
	return (l.BatchRecords == 0 || records <= l.BatchRecords) && (l.BatchBytes == 0 || bytes <= l.BatchBytes)
}

// pop removes the first n parts, which are decided. When the parts were acknowledged, the caller advances firstSeq; otherwise the
// parts behind take the seqs. The parts behind stay where they are in memory: to move all parts at each ack would cost the square
// of the number of parts.
func (w *window) pop(n int) {
	for _, p := range w.parts[:min(n, w.sent)] {
		w.recordsInFlight -= p.hi - p.lo
	}
	clear(w.parts[:n]) // the garbage collector can free the batches
	w.parts = w.parts[n:]
	w.sent = max(w.sent-n, 0)
}

// markLost notes that the session has ended, and that nobody knows which of the parts it took are stored.
func (w *window) markLost() {
	for i := range w.parts[:w.sent] {
		w.parts[i].lostWithSession = true
	}
}

// clearTaken notes that the store holds none of the parts that the session took and did not acknowledge, because the store
// refused the first part, or the whole session. A search ends then, because the refused part is known.
func (w *window) clearTaken() {
	for i := range w.parts {
		w.parts[i].taken = false
	}
	w.search = search{}
}

// split cuts the first part, which the store refused, at the given places among its records. split returns the number of
// pieces. Each piece inherits lostWithSession: an earlier session may have stored the whole part.
func (w *window) split(l *backend.Limits, at ...int) int {
	p := w.parts[0]
	var cuts []part
	lo := p.lo
	for _, i := range append(at, p.hi-p.lo) {
		if hi := p.lo + i; hi > lo {
			cuts = append(cuts, part{batchData: p.batchData, lo: lo, hi: hi, metered: meteredSum(l, (*p.made)[lo:hi]), lostWithSession: p.lostWithSession})
			lo = hi
		}
	}
	w.parts = slices.Replace(w.parts, 0, 1, cuts...)
	return len(cuts)
}

// join makes one part of the pieces at the front of the window, after the record before the pieces was refused. The pieces of a
// batch follow one another without a gap, because only the first part of the window ever leaves. Without join each piece would
// cost a round trip with a store that takes one batch at a time. A piece that may be stored stays as it is, because a resend must
// hold the same records.
func (w *window) join(l *backend.Limits) {
	n := 1
	for ; n < len(w.parts); n++ {
		p, q := &w.parts[0], &w.parts[n]
		if q.batchData != p.batchData || p.maybeStored() || q.maybeStored() || !fits(l, q.hi-p.lo, p.metered+q.metered) {
			break
		}
		p.hi, p.metered, p.attempts = q.hi, p.metered+q.metered, 0
	}
	if n > 1 {
		w.parts = slices.Delete(w.parts, 1, n)
	}
}

// meteredSum sums the sizes of records by the store's meter. A record that the meter now refuses counts 0: when the record is
// sent, the store refuses the record.
func meteredSum(l *backend.Limits, recs []backend.Record) (sum int) {
	for i := range recs {
		if size, err := l.Meter(&recs[i]); err == nil {
			sum += size
		}
	}
	return sum
}

// maybeStored counts the parts that may be stored. These parts are always the first parts of the window, because sessions take parts
// in order.
func (w *window) maybeStored() int {
	n := 0
	for n < len(w.parts) && w.parts[n].maybeStored() {
		n++
	}
	return n
}
