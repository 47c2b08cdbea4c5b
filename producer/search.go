package producer

import (
	"time"

	"github.com/headrace/headrace/backend"
)

// A search finds the part that the store refused, when the store could not say which of several parts it refused. The suspects
// are the first parts of the window. We send some of the suspects, the probe, and hold the others back:
//
//	parts   [ probe        | other suspects | no suspects ]
//	                       ^ probe          ^ suspects
//
// When the store takes the probe, the culprit is among the others. When the store refuses the probe, the culprit is in the
// probe. Each round trip halves the suspects, and nothing that the store has acknowledged is sent again.
type search struct {
	suspects      int // parts[:suspects] are suspects; 0: there is no search
	probe         int // parts[:probe] may be sent now
	probesRefused int // number of probes refused in this search
}

// A tally counts records, for the cost of searches.
type tally struct {
	recordsInFlight int // records given to the session that is open and not decided
	recordsAcked    int // records acknowledged
	recordsTwice    int // extra copies that sessions took of records that were acknowledged in a search; most are stored

	refusedInARow int // records refused without an ack between them
}

// recordsPerCopy bounds the cost of searches: of 20 records, about one may be stored a second time. 20 is a choice, and is not
// measured.
const recordsPerCopy = 20

// mustWait reports whether the next part has to wait until the parts in flight are decided.
//
// In a search, every part outside the probe waits. Without a search, a part that was never in flight waits when more records
// in flight would make the next search too expensive: when a refusal comes before the acks of stored parts, everything in flight
// is sent again, and is stored again. The cost is small while refusals are rare. A store that refuses often gets its batches one
// at a time. The batches grow meanwhile, and when a batch is alone, no search is needed after a refusal. After two refused
// records in a row the batches go one at a time too, because the next record may be bad as well.
func (w *window) mustWait() bool {
	switch {
	case w.suspects > 0:
		return w.sent >= w.probe
	case w.sent == 0:
		return false
	case w.refusedInARow > 1:
		return true
	}
	fresh := w.sent == len(w.parts) || w.parts[w.sent].attempts == 0
	return fresh && w.recordsTwice > 0 && w.recordsInFlight+w.recordsTwice >= w.recordsAcked/recordsPerCopy
}

// suspect begins a search among the first n parts, or narrows a search down to the first n parts: a session took the n parts, and
// the store refused one of the parts.
//
// Some parts are more likely than others. We know two kinds of stores. A store that refuses at once, before it acknowledges
// the parts it has stored, refused one of the last parts it was sent; so the first probe leaves out the last eighth only. A
// store that answers in order has acknowledged everything before the culprit, so the culprit is the first part. To tell the
// two apart, we look at the refusal of the first probe: if the refusal took about as long as an ack takes (more than three
// quarters of the time), the store answers in order, and the next probe is the first part alone. Otherwise the next probe
// leaves out the last quarter. From the second refused probe on we halve.
//
// The shares (an eighth, three quarters, a quarter) are guesses about such stores. A wrong guess costs one or two round trips
// more, and never the result, because halving always finds the culprit.
func (w *window) suspect(n int) {
	if w.suspects == 0 {
		w.search = search{suspects: n, probe: n - max(n/8, 1)}
		return
	}
	w.suspects = n
	w.probesRefused++
	inOrder := time.Since(w.parts[0].sentAt) > w.latency*3/4
	switch {
	case w.probesRefused > 1:
		w.halve()
	case inOrder:
		w.probe = 1
	default:
		w.probe = n - max(n/4, 1)
	}
}

// suspectPieces begins a search among the first n parts, which are pieces of a part that the store refused.
func (w *window) suspectPieces(n int, l *backend.Limits) {
	w.search = search{suspects: n}
	w.chooseProbe(l)
}

// acknowledge removes the first n parts, because the store has acknowledged them.
func (w *window) acknowledge(n int, l *backend.Limits) {
	w.owedSince = time.Now()
	w.latency = w.owedSince.Sub(w.parts[n-1].sentAt)
	for i, p := range w.parts[:n] {
		w.recordsAcked += p.hi - p.lo
		if i < w.suspects {
			w.recordsTwice += (p.hi - p.lo) * (p.attempts - 1)
		}
	}
	w.pop(n)
	w.firstSeq += uint64(n)
	w.refusedInARow = 0
	if w.suspects == 0 {
		return
	}
	w.suspects = max(w.suspects-n, 0)
	w.probe = max(w.probe-n, 0)
	if w.suspects > 0 && w.probe == 0 { // the whole probe is stored: the culprit is among the others
		w.chooseProbe(l)
	}
}

// chooseProbe chooses the next probe. The last suspect is sent alone too, although we know that the last suspect is the culprit:
// only the store's own answer may fail a record, and a part that may be stored must be sent again with the same records. If the
// last suspect has several records and is certainly not stored, we cut the part first, because the store would refuse the part
// as a whole.
func (w *window) chooseProbe(l *backend.Limits) {
	if p := &w.parts[0]; w.suspects == 1 && p.hi-p.lo > 1 && !p.maybeStored() {
		w.suspects = w.split(l, (p.hi-p.lo)/2)
	}
	w.halve()
}

// halve makes the probe of the first suspects with about half of the suspects' records. The probe has at least one part, and
// leaves out at least one part when there are two or more suspects.
func (w *window) halve() {
	records := 0
	for _, p := range w.parts[:w.suspects] {
		records += p.hi - p.lo
	}
	half := 0
	for w.probe = 0; w.probe == 0 || w.probe < w.suspects-1 && half < records/2; w.probe++ {
		p := &w.parts[w.probe]
		half += p.hi - p.lo
	}
}
