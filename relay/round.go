package relay

import (
	"fmt"
	"slices"

	"github.com/headrace/headrace/backend"
)

// Bounds of a round and its batches. The target's own limits may be lower. A round is held in memory.
const (
	roundBatches = 16
	batchRecords = 1000
	batchBytes   = 1 << 20
	emptyRecords = 20_000 // records of the source in a batch, if Convert drops most of them
)

// A round is a group of batches that are announced and sent together.
type round struct {
	from, behind backend.Offset // places in the source
	counts       []int          // records of the source in each batch, including those that Convert has dropped
	batches      [][]backend.Record
}

// toSend returns the batches with records. A batch whose records were all dropped is not sent, and has no number: with a number,
// all later batches would have other numbers in the next relay.
func (r *round) toSend() [][]backend.Record {
	return slices.DeleteFunc(slices.Clone(r.batches), func(b []backend.Record) bool { return len(b) == 0 })
}

// A cutter collects records into a round.
type cutter struct {
	round
	convert   func(backend.Record) (backend.Record, bool)
	limits    backend.Limits
	announced []int // the counts of an announced round; nil if the limits decide where a batch ends

	open  bool // the last batch may take more records
	bytes int  // size of the last batch, by the target's meter
}

// add adds a record to the round. If the round is full, add returns true, and the record belongs to the next round.
func (c *cutter) add(r *backend.Record) (full bool, err error) {
	sent, keep := c.convert(*r)
	size := 0
	if keep {
		// A record that the target cannot take is found before the round is announced. After the announcement, each
		// new relay would have to send the batch that the target refuses.
		if size, err = c.limits.Meter(&sent); err == nil && c.limits.RecordBytes > 0 && size > c.limits.RecordBytes {
			err = fmt.Errorf("%d bytes, the target's limit of a record is %d: %w", size, c.limits.RecordBytes, backend.ErrTooLarge)
		}
		if err != nil {
			return false, fmt.Errorf("record at %q: %w", r.Offset, err)
		}
	}
	if c.open && !c.fits(keep, size) {
		// The last batch is complete, also if a later and smaller record would fit: the records must keep their
		// order.
		c.open = false
	}
	if !c.open {
		if c.full() {
			return true, nil
		}
		c.open, c.bytes = true, 0
		c.counts, c.batches = append(c.counts, 0), append(c.batches, nil)
	}
	last := len(c.batches) - 1
	// The round begins at its first record, even if Convert drops this record.
	if len(c.counts) == 1 && c.counts[0] == 0 {
		c.from = r.Offset
	}
	// A dropped record counts too. The next relay reads the records of the source again, and finds the ends of the
	// batches by these counts.
	c.counts[last]++
	// The round ends behind its last record, even if Convert drops this record. Otherwise the next relay would read
	// the dropped records again, and again after each start.
	c.behind = r.Next
	if keep {
		c.batches[last] = append(c.batches[last], sent)
		c.bytes += size
	}
	return false, nil
}

// full reports whether the round may have no further batch.
func (c *cutter) full() bool {
	// An announced round has the announced number of batches, even if the limits are lower today.
	if c.announced != nil {
		return len(c.batches) == len(c.announced)
	}
	most := roundBatches
	// A whole round may be sent again, so the target must still remember each batch of the round. A target remembers at least
	// as many batches as it takes in flight.
	if n := c.limits.InFlight; n > 0 {
		most = min(most, n)
	}
	return len(c.batches) == most
}

// done reports whether an announced round is complete.
func (c *cutter) done() bool {
	n := len(c.announced)
	return len(c.batches) == n && c.counts[n-1] == c.announced[n-1]
}

// fits reports whether the last batch has room for a record of the given size; with keep false, Convert has dropped the record.
func (c *cutter) fits(keep bool, size int) bool {
	last := len(c.batches) - 1
	if c.announced != nil {
		return c.counts[last] < c.announced[last]
	}
	// A dropped record needs no room in the target. But the count must have a bound: a batch whose records are all
	// dropped would otherwise never end, and the note would never move on.
	if !keep {
		return c.counts[last] < emptyRecords
	}
	return c.counts[last] < emptyRecords && len(c.batches[last]) < lower(batchRecords, c.limits.BatchRecords) &&
		c.bytes+size <= lower(batchBytes, c.limits.BatchBytes)
}

// lower returns the lower of two limits. If theirs is 0, the target has no such limit.
func lower(own, theirs int) int {
	if theirs > 0 {
		return min(own, theirs)
	}
	return own
}
