package producer

import (
	"time"

	"github.com/headrace/headrace/backend"
)

// A search finds the part that the store refused, when the store could not say which of several it was. The suspects are
// the first parts of the window. Some of them are sent, the probe, and the others wait. When the store takes the probe,
// the culprit is among the others; when it refuses the probe, the culprit is in it. Each round trip halves the suspects,
// and nothing that the store has acknowledged is sent again.
type search struct {
	suspects int // the first so many parts; 0: there is no search
	probe    int // the first so many of the suspects: what may be sent now
	refused  int // probes refused in this search
}

// A tally counts records, for what searches cost.
type tally struct {
	flying int // given to the session that is open and not decided
	acked  int // acknowledged
	twice  int // copies that sessions took of records that were acknowledged in a search; most are stored

	refusals int // records refused in a row, with nothing acknowledged between them
}

// twicePart bounds what searches cost: of that many records, about one may be stored a second time.
const twicePart = 20

// held reports that what comes next has to wait until what is in flight is decided. In a search, that is what is not in the
// probe. Without one, it is what has never been in flight, when more in flight would make the next search too expensive: a
// refusal that overtakes acks has everything in flight sent again, and stored again. While refusals are rare that hardly
// counts. A store that refuses often gets its batches one at a time: they become larger meanwhile, and the refusal of a
// batch that is alone is certain. So does one that has just refused two records in a row: the next may be bad too.
func (w *window) held() bool {
	switch {
	case w.suspects > 0:
		return w.sent >= w.probe
	case w.sent == 0:
		return false
	case w.refusals > 1:
		return true
	}
	fresh := w.sent == len(w.parts) || w.parts[w.sent].attempts == 0
	return fresh && w.twice > 0 && w.flying+w.twice >= w.acked/twicePart
}

// suspect begins a search among the first n parts, or narrows one down to them: a session took them, and refused one.
//
// Some of them are more likely than others. A store that refuses at once, before it acknowledges what it has stored, refused
// one of the last parts that it was sent, so the first probe is all but those. A store that answers in order has
// acknowledged everything before the culprit. Its refusal of the first probe took about as long as an ack does, and then
// the next probe is the first part alone. Else the next probe leaves out some more of the last ones.
func (w *window) suspect(n int) {
	if w.suspects == 0 {
		w.search = search{suspects: n, probe: n - max(n/8, 1)}
		return
	}
	w.suspects = n
	w.refused++
	inOrder := time.Since(w.parts[0].sentAt) > w.latency*3/4
	switch {
	case w.refused > 1:
		w.halve()
	case inOrder:
		w.probe = 1
	default:
		w.probe = n - max(n/4, 1)
	}
}

// suspectPieces searches the first n parts, the pieces of one that the store refused.
func (w *window) suspectPieces(n int, l *backend.Limits) {
	w.search = search{suspects: n}
	w.aim(l)
}

// cleared notes that the store has acknowledged the first n parts, and drops them.
func (w *window) cleared(n int, l *backend.Limits) {
	w.latency = time.Since(w.parts[n-1].sentAt)
	for i, p := range w.parts[:n] {
		w.acked += p.hi - p.lo
		if i < w.suspects {
			w.twice += (p.hi - p.lo) * (p.attempts - 1)
		}
	}
	w.pop(n)
	w.next += uint64(n)
	w.refusals = 0
	if w.suspects == 0 {
		return
	}
	w.suspects = max(w.suspects-n, 0)
	w.probe = max(w.probe-n, 0)
	if w.suspects > 0 && w.probe == 0 {
		w.aim(l)
	}
}

// aim chooses the next probe. The last suspect is sent alone, because only the store's own word condemns a record, and
// because a resend keeps its records. A last suspect of several records that was never sent is cut first: it would be
// refused.
func (w *window) aim(l *backend.Limits) {
	if p := &w.parts[0]; w.suspects == 1 && p.hi-p.lo > 1 && !p.maybeStored() {
		w.suspects = w.split(l, (p.hi-p.lo)/2)
	}
	w.halve()
}

// halve makes the probe of the suspects that hold about half of their records: at least one, and not all unless there is
// one.
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
