package relay

import (
	"fmt"

	"github.com/headrace/headrace/backend"
)

// Bounds of one round and of its batches, below the target's own. A round is held in memory.
const (
	roundBatches = 16
	batchRecords = 1000
	batchBytes   = 1 << 20
	emptyRecords = 20_000 // of the source in a batch, when Convert drops them
)

// A round is what is announced and sent together.
type round struct {
	from, behind backend.Offset // in the source
	counts       []int          // records of the source in each batch, those that Convert dropped included
	batches      [][]backend.Record
}

// sends is how many batches are sent: one whose records were all dropped has no number.
func (r *round) sends() (n int) {
	for _, b := range r.batches {
		if len(b) > 0 {
			n++
		}
	}
	return n
}

// A cutter makes a round of records as they come.
type cutter struct {
	round
	convert func(backend.Record) (backend.Record, bool)
	limits  backend.Limits
	counts  []int // of an announced round; nil: the limits decide

	open  bool // the last batch takes more
	bytes int  // of it
}

// add takes a record, unless the round is full: then full is true and the record belongs to the next.
func (c *cutter) add(r *backend.Record) (full bool, err error) {
	sent, keep := c.convert(*r)
	size := 0
	if keep {
		if size, err = c.limits.Meter(&sent); err == nil && c.limits.RecordBytes > 0 && size > c.limits.RecordBytes {
			err = fmt.Errorf("%d bytes, the target's limit of a record is %d: %w", size, c.limits.RecordBytes, backend.ErrTooLarge)
		}
		if err != nil {
			return false, fmt.Errorf("record at %q: %w", r.Offset, err)
		}
	}
	if c.open && !c.fits(keep, size) {
		c.open = false
	}
	if !c.open {
		if c.full() {
			return true, nil
		}
		c.open, c.bytes = true, 0
		c.round.counts, c.batches = append(c.round.counts, 0), append(c.batches, nil)
	}
	last := len(c.batches) - 1
	if len(c.round.counts) == 1 && c.round.counts[0] == 0 {
		c.from = r.Offset
	}
	c.round.counts[last]++
	c.behind = r.Next
	if keep {
		c.batches[last] = append(c.batches[last], sent)
		c.bytes += size
	}
	return false, nil
}

// full reports whether no further batch may begin.
func (c *cutter) full() bool {
	if c.counts != nil {
		return len(c.batches) == len(c.counts)
	}
	most := roundBatches
	if n := c.limits.InFlight; n > 0 {
		most = min(most, n)
	}
	return len(c.batches) == most
}

// done reports whether an announced round is complete.
func (c *cutter) done() bool {
	n := len(c.counts)
	return len(c.batches) == n && c.round.counts[n-1] == c.counts[n-1]
}

func (c *cutter) fits(keep bool, size int) bool {
	last := len(c.batches) - 1
	if c.counts != nil {
		return c.round.counts[last] < c.counts[last]
	}
	if !keep {
		return c.round.counts[last] < emptyRecords
	}
	return c.round.counts[last] < emptyRecords && len(c.batches[last]) < lower(batchRecords, c.limits.BatchRecords) &&
		c.bytes+size <= lower(batchBytes, c.limits.BatchBytes)
}

// lower is the lower of two limits, of which the second is unknown at 0.
func lower(own, theirs int) int {
	if theirs > 0 {
		return min(own, theirs)
	}
	return own
}
