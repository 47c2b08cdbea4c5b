package consumer

import (
	"math"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/ahead"
)

// A tracker knows which records of a loop are done, and which place in the stream follows the done records. The pipeline
// numbers the records 0, 1, 2, … in the order of reading. The tracker uses neither the loop nor a store: any goroutine
// may finish a record.
//
// Offsets are opaque: two offsets cannot be compared. Therefore the numbers of the records define the order. The tracker
// looks a place up, by its number, in the records themselves, and only when a caller asks for a place. To finish a record
// in order costs one atomic store, and the tracker remembers nothing about the record.
//
// Every record with a number below low is done; low is called the low-water mark. Records above low that were finished
// out of order have a bit in their span.
type tracker struct {
	low atomic.Uint64 // the low-water mark: all records with a smaller number are done
	// above is how many records from low on are done. When low passes such records, above is lowered before low is raised: a
	// caller who reads low first and then above counts no record twice. A count of all done records would cost an atomic
	// operation more for a record that is done in order.
	above atomic.Uint64
	// oldestEnd is the number behind the last record of the oldest span, or MaxUint64 when there is no span. When low
	// reaches oldestEnd, the span is done and dropDone can free its bytes.
	oldestEnd atomic.Uint64

	budget *budget

	// mu guards the fields below. low, above and oldestEnd are stored with mu held, except low in doneBelow and
	// raiseDoneBelow. Never call budget.free with mu held: it wakes the reader.
	mu       sync.Mutex
	pos      backend.Offset // the place behind all records that came before the oldest span
	spans    []span         // chunks in the loop's hands, with records that may not be done; oldest first
	unpushed []chunkHead    // chunks that were read and that the loop has not received yet, oldest first
	// resumed holds records that an earlier loop has finished out of order, as the checkpoint says, and that are not in a
	// span yet.
	resumed []ahead.Run
	scratch []ahead.Run // reused by runsLocked

	head atomic.Uint64 // number behind the last record that was read
}

// A chunkHead is the number and the time of the first record of a chunk. The tracker needs no more to compute the lag
// of a chunk that is still on its way to the loop.
type chunkHead struct {
	seq  uint64
	time time.Time
}

// A span is what the tracker keeps of a chunk.
type span struct {
	first uint64 // number of the first record
	recs  []backend.Record
	next  backend.Offset            // behind the records, and behind filtered records that followed them
	bytes int                       // charged to the budget
	lent  *lentBatch                // the owner of recs; nil if recs is not given back
	done  [chunkRecords / 64]uint64 // one bit for each record that was finished out of order
}

// end returns the number behind the last record.
func (s *span) end() uint64 { return s.first + uint64(len(s.recs)) }

// newTracker returns a tracker for a loop that begins at at. The records in done, counted from at, are done already.
func newTracker(at backend.Offset, done []ahead.Run, b *budget) *tracker {
	t := &tracker{pos: at, resumed: done, budget: b}
	t.oldestEnd.Store(math.MaxUint64)
	return t
}

// pin replaces a relative start, such as backend.Latest, by the place that the reader found for it.
func (t *tracker) pin(at backend.Offset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pos = at
}

// push adds a span with at least one record. The loop calls push before it hands out the first record of the span. push
// returns the records of the span that an earlier loop has finished. If the list of finished records does not fit the
// stream, push forgets the list and returns errAheadDoesNotFit; the listed records run again.
func (t *tracker) push(s span) ([]ahead.Run, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	done, err := t.resumeLocked(&s)
	if len(t.spans) == 0 {
		t.oldestEnd.Store(s.end())
	}
	t.spans = append(t.spans, s)
	// The chunk of s is no longer on its way, and neither is any chunk before s.
	for len(t.unpushed) > 0 && t.unpushed[0].seq <= s.first {
		t.unpushed = t.unpushed[1:]
	}
	return done, err
}

// expect records that a chunk of n records was read, and that the loop will push it later.
func (t *tracker) expect(first uint64, n int, at time.Time) {
	t.head.Store(first + uint64(n))
	t.mu.Lock()
	defer t.mu.Unlock()
	t.unpushed = append(t.unpushed, chunkHead{first, at})
}

// oldest returns the Time and the offset of the oldest record that is not done. The offset is empty while the record is
// on its way to the loop. oldest returns false when all records that were read are done.
func (t *tracker) oldest() (time.Time, backend.Offset, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	low := t.low.Load()
	for i := range t.spans {
		if s := &t.spans[i]; low < s.end() {
			r := &s.recs[low-s.first]
			return r.Time, r.Offset, true
		}
	}
	if len(t.unpushed) > 0 {
		return t.unpushed[0].time, "", true
	}
	return time.Time{}, "", false
}

// age returns how old a record with the Time at is, by the clock of this machine. It returns 0 when the store gives no
// times, and when the clock of the store is ahead of ours.
func age(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return max(time.Since(at), 0)
}

// extend sets the place behind the last span, because the reader moved on without a record. The new place counts once
// all records pushed before are done.
func (t *tracker) extend(next backend.Offset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.spans); n > 0 {
		t.spans[n-1].next = next
	} else {
		t.pos = next
	}
}

// doneBelow marks all records with a number below seq done. Only the loop calls doneBelow (in a Pipe, the receipt
// waiter), each time with the number behind the last finished record, so seq never gets smaller. A concurrent Ack can
// only be for a record handed out before, with a number below seq. Therefore a plain store cannot move low backwards, and
// we need no comparison.
func (t *tracker) doneBelow(seq uint64) {
	t.low.Store(seq)
	if seq >= t.oldestEnd.Load() {
		t.dropDone()
	}
}

// raiseDoneBelow does the same as doneBelow for callers that may come late, such as an Ack after the loop went on.
// raiseDoneBelow never moves low backwards.
func (t *tracker) raiseDoneBelow(seq uint64) {
	storeMax(&t.low, seq)
	t.dropDone()
}

// markDone marks one record done, in any order. When seq is the low-water mark, markDone also moves the low-water mark
// over all done records directly behind seq.
func (t *tracker) markDone(seq uint64) {
	t.mu.Lock()
	i := 0
	// Most records are in the oldest span.
	if len(t.spans) > 0 && seq >= t.spans[0].end() {
		i = sort.Search(len(t.spans), func(i int) bool { return t.spans[i].end() > seq })
	}
	if i == len(t.spans) || seq < t.spans[i].first {
		// An earlier call marked the record, and dropDone has removed its span.
		t.mu.Unlock()
		return
	}
	at := seq - t.spans[i].first
	word, bit := &t.spans[i].done[at/64], uint64(1)<<(at%64)
	before := *word&bit != 0 // an earlier loop or call has marked the record
	*word |= bit
	low := t.low.Load()
	if seq != low {
		// Only the record at the low-water mark can move low. Any other record waits for the records before it.
		if !before && seq > low {
			t.above.Add(1)
		}
	} else {
		for ; i < len(t.spans); i++ {
			s := &t.spans[i]
			for low < s.end() && s.done[(low-s.first)/64]&(1<<((low-s.first)%64)) != 0 {
				low++
			}
			if low < s.end() {
				break
			}
		}
		passed := low - seq
		if !before {
			passed-- // the record itself was not counted in above
		}
		if passed > 0 {
			t.above.Add(-passed)
		}
		t.low.Store(low)
	}
	t.mu.Unlock()
	if low >= t.oldestEnd.Load() {
		t.dropDone()
	}
}

// dropDone removes the spans that are done, moves pos behind them, and gives their bytes back to the budget.
func (t *tracker) dropDone() {
	t.mu.Lock()
	low, n, freed := t.low.Load(), 0, 0
	var ended []*lentBatch // the owners of the spans that are done
	for n < len(t.spans) && t.spans[n].end() <= low {
		t.pos = t.spans[n].next
		freed += t.spans[n].bytes
		if lent := t.spans[n].lent; lent != nil {
			ended = append(ended, lent)
		}
		n++
	}
	// The array behind the slice lives on. Without clear it would keep the records of removed spans in memory.
	clear(t.spans[:n])
	t.spans = t.spans[n:]
	if len(t.spans) == 0 {
		t.oldestEnd.Store(math.MaxUint64)
	} else {
		t.oldestEnd.Store(t.spans[0].end())
	}
	t.mu.Unlock()
	// free wakes the reader, and leave calls the reader's Free, so we call both after mu is unlocked. No span holds the
	// records any more.
	t.budget.free(freed)
	for _, lent := range ended {
		lent.leave()
	}
}

// position returns the place where a consumer must go on, which is behind the last done record before the low-water
// mark, and the number of the next record.
func (t *tracker) position() (backend.Offset, uint64) {
	t.dropDone()
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.positionLocked()
}

func (t *tracker) positionLocked() (backend.Offset, uint64) {
	low := t.low.Load()
	if len(t.spans) == 0 || low <= t.spans[0].first {
		return t.pos, low
	}
	s := &t.spans[0]
	// A concurrent doneBelow finished the whole span after the call of dropDone above.
	if low >= s.end() {
		return s.next, s.end()
	}
	return s.recs[low-s.first-1].Next, low
}

// record returns the record with the number seq. The record must not be done: dropDone may have removed a record that
// is done.
func (t *tracker) record(seq uint64) backend.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := sort.Search(len(t.spans), func(i int) bool { return t.spans[i].end() > seq })
	return t.spans[i].recs[seq-t.spans[i].first]
}

// endsWithin reports whether at is the place behind one of the records with the numbers from (included) to to (not
// included).
func (t *tracker) endsWithin(at backend.Offset, from, to uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.spans {
		s := &t.spans[i]
		for seq := max(from, s.first); seq < min(to, s.end()); seq++ {
			if s.recs[seq-s.first].Next == at {
				return true
			}
		}
	}
	return false
}

// storeMax raises v to to, and leaves a larger value as it is.
func storeMax(v *atomic.Uint64, to uint64) {
	for {
		old := v.Load()
		if old >= to || v.CompareAndSwap(old, to) {
			return
		}
	}
}
