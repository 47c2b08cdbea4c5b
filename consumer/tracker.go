package consumer

import (
	"math"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
)

// A tracker knows which records of a loop are done and which place in the stream that is. Records are numbered by the
// loop: 0, 1, 2, … in the order read. It knows no loop and no store, so that records may be finished by whoever does.
//
// Offsets are opaque and cannot be compared, so the order is in the numbers; and a place is looked up only when somebody
// asks, by number, in the records themselves. Finishing a record in order is one atomic store, and nothing is kept for it.
type tracker struct {
	low   atomic.Uint64 // all records below it are done
	first atomic.Uint64 // the end of the oldest span: reaching it frees something

	budget *budget

	mu    sync.Mutex
	pos   backend.Offset // behind all that came before the oldest span
	spans []span         // what may not be wholly done, oldest first
	ahead []head         // of the chunks that were read and are not pushed yet, oldest first
}

// A head is the first record of a chunk.
type head struct {
	seq  uint64
	time time.Time
}

// A span is a chunk from the tracker's side.
type span struct {
	first uint64
	recs  []backend.Record
	next  backend.Offset // behind the records and whatever came after them that left nothing to do
	bytes int
	done  [chunkRecords / 64]uint64 // a bit a record, for those finished out of order
}

func (s *span) end() uint64 { return s.first + uint64(len(s.recs)) }

func newTracker(at backend.Offset, b *budget) *tracker {
	t := &tracker{pos: at, budget: b}
	t.first.Store(math.MaxUint64)
	return t
}

// pin replaces the relative start by the place that it turned out to be.
func (t *tracker) pin(at backend.Offset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pos = at
}

// push adds the records that are handed out next. Its number of records is at least 1.
func (t *tracker) push(s span) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.spans) == 0 {
		t.first.Store(s.end())
	}
	t.spans = append(t.spans, s)
	for len(t.ahead) > 0 && t.ahead[0].seq <= s.first {
		t.ahead = t.ahead[1:]
	}
}

// expect says that a chunk was read and will be pushed.
func (t *tracker) expect(first uint64, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ahead = append(t.ahead, head{first, at})
}

// oldest returns the record that was read first of those that are not done: its Time and, once it was pushed, its offset.
// It returns false when all that was read is done.
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
	if len(t.ahead) > 0 {
		return t.ahead[0].time, "", true
	}
	return time.Time{}, "", false
}

// age is how old a record of that Time is by this machine's clock, 0 when the store gives no times.
func age(at time.Time) time.Duration {
	if at.IsZero() {
		return 0
	}
	return max(time.Since(at), 0)
}

// extend moves the place on without a record: it counts once all records pushed before are done.
func (t *tracker) extend(next backend.Offset) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n := len(t.spans); n > 0 {
		t.spans[n-1].next = next
	} else {
		t.pos = next
	}
}

// reach marks all records below seq done. One goroutine calls it, and never with less than was handed out: a raise beside
// it, by an Ack, is of a record before seq, so it needs no comparison.
func (t *tracker) reach(seq uint64) {
	t.low.Store(seq)
	if seq >= t.first.Load() {
		t.drop()
	}
}

// raise is reach for callers that may come late.
func (t *tracker) raise(seq uint64) {
	raise(&t.low, seq)
	t.drop()
}

// mark marks one record done and moves the low-water mark over all that are contiguous.
func (t *tracker) mark(seq uint64) {
	t.mu.Lock()
	i := sort.Search(len(t.spans), func(i int) bool { return t.spans[i].end() > seq })
	if i == len(t.spans) || seq < t.spans[i].first {
		t.mu.Unlock() // marked before, and gone with its span
		return
	}
	at := seq - t.spans[i].first
	t.spans[i].done[at/64] |= 1 << (at % 64)
	low := t.low.Load()
	if seq == low {
		for ; i < len(t.spans); i++ {
			s := &t.spans[i]
			for low < s.end() && s.done[(low-s.first)/64]&(1<<((low-s.first)%64)) != 0 {
				low++
			}
			if low < s.end() {
				break
			}
		}
		t.low.Store(low)
	}
	t.mu.Unlock()
	if low >= t.first.Load() {
		t.drop()
	}
}

// drop lets go of the spans that are done and frees what they were charged.
func (t *tracker) drop() {
	t.mu.Lock()
	low, n, freed := t.low.Load(), 0, 0
	for n < len(t.spans) && t.spans[n].end() <= low {
		t.pos = t.spans[n].next
		freed += t.spans[n].bytes
		n++
	}
	clear(t.spans[:n]) // or the array behind the slice would pin the records
	t.spans = t.spans[n:]
	if len(t.spans) == 0 {
		t.first.Store(math.MaxUint64)
	} else {
		t.first.Store(t.spans[0].end())
	}
	t.mu.Unlock()
	t.budget.free(freed) // off the lock: it wakes the reader
}

// position returns where to go on, behind the last of the contiguous done records, and the number of the next.
func (t *tracker) position() (backend.Offset, uint64) {
	t.drop()
	t.mu.Lock()
	defer t.mu.Unlock()
	low := t.low.Load()
	if len(t.spans) == 0 || low <= t.spans[0].first {
		return t.pos, low
	}
	s := &t.spans[0]
	if low >= s.end() { // reached since drop
		return s.next, s.end()
	}
	return s.recs[low-s.first-1].Next, low
}

// record returns a record that is not done.
func (t *tracker) record(seq uint64) backend.Record {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := sort.Search(len(t.spans), func(i int) bool { return t.spans[i].end() > seq })
	return t.spans[i].recs[seq-t.spans[i].first]
}

// within reports whether one of the records from from to to, exclusive, ends at at.
func (t *tracker) within(at backend.Offset, from, to uint64) bool {
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

// raise sets v to at least to.
func raise(v *atomic.Uint64, to uint64) {
	for {
		old := v.Load()
		if old >= to || v.CompareAndSwap(old, to) {
			return
		}
	}
}
