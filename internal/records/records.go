// Package records has what readers of several stores need for the records of a batch: their slice, and their offsets.
//
// Slices of records that readers got back through [backend.Batch.Free] serve the next batch of any reader. A record is larger than
// the value of a small record: with new slices alone, half of the memory that reading allocates would be the slices.
package records

import (
	"sync"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// spare holds slices of zero records.
var spare sync.Pool // of *[]backend.Record

// leastFree is the least number of records for which a slice is taken back. A smaller slice costs less than its way back.
const leastFree = 64

// Slice returns an empty slice with room for n zero records.
func Slice(n int) []backend.Record {
	if n >= leastFree {
		if s, ok := spare.Get().(*[]backend.Record); ok && cap(*s) >= n {
			return (*s)[:0]
		}
	}
	return make([]backend.Record, 0, n)
}

// Free returns the Free of a batch with the records recs. It is nil for a short slice. A second call of the Free does nothing: two
// readers would otherwise write to one slice.
func Free(recs []backend.Record) func() {
	if len(recs) < leastFree {
		return nil
	}
	freed := new(atomic.Bool)
	return func() {
		if !freed.Swap(true) {
			clear(recs) // or the slice would keep the values in memory; and some readers set only a part of a record
			spare.Put(&recs)
		}
	}
}
