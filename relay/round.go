package relay

import (
	"fmt"

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

// sends returns how many batches are sent. A batch whose records were all dropped is not sent, and has no number.
func (r *round) sends() (n int) {
	for _, b := range r.batches {
		if len(b) > 0 {
			n++
		}
	}
	return n
}

// A cutter collects records into a round.
type cutter struct {
	round
	convert func(backend.Record) (backend.Record, bool)
	limits  backend.Limits
	counts  []int // sizes of an announced round; nil if the limits decide

	open  bool // the last batch may take more records
	bytes int  // size of the last batch
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
		c.round.counts, c.batches = append(c.round.counts, 0), append(c.batches, nil)
	}
	last := len(c.batches) - 1
	// The round begins at its first record, even if Convert drops this record.
	if len(c.round.counts) == 1 && c.round.counts[0] == 0 {
		c.from = r.Offset
	}
	// A dropped record counts too. The next relay reads the records of the source again, and finds the ends of the
	// batches by these counts.
	c.round.counts[last]++
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
	if c.counts != nil {
		return len(c.batches) == len(c.counts)
	}
	most := roundBatches
	// A round may be sent again as a whole, so the target must still remember each of its batches. A target remembers
	// at least the batches that it takes in flight.
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
	// A dropped record needs no room in the target. But the count must have a bound: a batch whose records are all
	// dropped would otherwise never end, and the note would never move on.
	if !keep {
		return c.round.counts[last] < emptyRecords
	}
	return c.round.counts[last] < emptyRecords && len(c.batches[last]) < lower(batchRecords, c.limits.BatchRecords) &&
		c.bytes+size <= lower(batchBytes, c.limits.BatchBytes)
}

// lower returns the lower of two limits. If theirs is 0, the target has no such limit.
func lower(own, theirs int) int {
	if theirs > 0 {
		return min(own, theirs)
	}
	return own
}
