package consumer

import (
	"errors"
	"math/bits"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/ahead"
)

// errAheadDoesNotFit says: the stream has other records now at the places of the listed done records.
var errAheadDoesNotFit = errors.New("the records that the checkpoint lists as done are not in the stream at their places")

// resumeLocked sets the bits of the records in s that an earlier loop has finished, and returns these records.
func (t *tracker) resumeLocked(s *span) (done []ahead.Run, err error) {
	for len(t.resumed) > 0 && t.resumed[0].From < s.end() {
		r := &t.resumed[0]
		// Check the first record of the run before the run is trusted. A run from an earlier span was checked there, and
		// a run at the first record of the loop was checked with the place of the checkpoint.
		if first := r.From; first > 0 && first >= s.first && r.Mark != ahead.Mark(s.recs[first-s.first].Offset) {
			t.resumed = nil
			return done, errAheadDoesNotFit
		}
		from, to := max(r.From, s.first), min(r.To, s.end())
		for seq := from; seq < to; seq++ {
			s.done[(seq-s.first)/64] |= 1 << ((seq - s.first) % 64)
		}
		t.above.Add(to - from)
		done = append(done, ahead.Run{From: from, To: to})
		if r.To > s.end() {
			break
		}
		t.resumed = t.resumed[1:]
	}
	return done, nil
}

// runsLocked returns the runs of records from the number low on that are done, with their marks if mark is true. The
// slice is valid until mu is unlocked.
func (t *tracker) runsLocked(low uint64, mark bool) []ahead.Run {
	runs := t.scratch[:0]
	head := low
	for i := range t.spans {
		s := &t.spans[i]
		head = s.end()
		for w, word := range s.done {
			base := s.first + uint64(w)*64
			if base+64 <= low {
				continue
			}
			if low > base {
				word &^= 1<<(low-base) - 1
			}
			for word != 0 {
				at := bits.TrailingZeros64(word)
				n := bits.TrailingZeros64(^(word >> at))
				word &^= (1<<n - 1) << at
				from := base + uint64(at)
				if last := len(runs) - 1; last >= 0 && runs[last].To == from {
					runs[last].To += uint64(n)
					continue
				}
				r := ahead.Run{From: from, To: from + uint64(n)}
				if mark {
					r.Mark = ahead.Mark(s.recs[from-s.first].Offset)
				}
				runs = append(runs, r)
			}
		}
	}
	for _, r := range t.resumed {
		r.From = max(r.From, head)
		if last := len(runs) - 1; last >= 0 && runs[last].To == r.From {
			runs[last].To = r.To
		} else {
			runs = append(runs, r)
		}
	}
	t.scratch = runs
	return runs
}

// progress returns the place of position, the number of the next record, and the Ahead that belongs to the place.
func (t *tracker) progress() (at backend.Offset, done string, low uint64) {
	t.dropDone()
	t.mu.Lock()
	defer t.mu.Unlock()
	at, low = t.positionLocked()
	return at, t.aheadLocked(at, low), low
}

// aheadAt returns the Ahead that belongs to the place at, behind the record before the number seq.
func (t *tracker) aheadAt(at backend.Offset, seq uint64) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.aheadLocked(at, seq)
}

func (t *tracker) aheadLocked(at backend.Offset, low uint64) string {
	runs := t.runsLocked(low, true)
	for i := range runs {
		runs[i].From -= low
		runs[i].To -= low
	}
	return ahead.Encode(at, runs)
}

// runs returns how many runs of records above the low-water mark are done.
func (t *tracker) runs() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.runsLocked(t.low.Load(), false))
}

// aheadFull reports whether records that were handed out are done in so many runs that a checkpoint can hold no more.
func (t *tracker) aheadFull() bool {
	// The records are at least as many as the runs, and cost nothing to count.
	if t.above.Load() < ahead.Runs {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.runsLocked(t.low.Load(), false))-len(t.resumed) >= ahead.Runs
}
