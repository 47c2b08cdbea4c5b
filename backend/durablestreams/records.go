package durablestreams

import (
	"sync"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// spareRecords holds slices of zero records that callers have given back, for the next batch of any reader. A record is larger than
// the value of a small record: with new slices alone, half of the memory that reading allocates would be the slices.
var spareRecords sync.Pool // of *[]backend.Record

// leastFree is the least number of records for which a slice is taken back. A smaller slice costs less than its way back.
const leastFree = 64

// newRecords returns an empty slice with room for n zero records.
func newRecords(n int) []backend.Record {
	if n >= leastFree {
		if s, ok := spareRecords.Get().(*[]backend.Record); ok && cap(*s) >= n {
			return (*s)[:0]
		}
	}
	return make([]backend.Record, 0, n)
}

// freeRecords is the Free of a batch. A second call does nothing: two readers would otherwise write to one slice.
func freeRecords(recs []backend.Record) func() {
	if len(recs) < leastFree {
		return nil
	}
	freed := new(atomic.Bool)
	return func() {
		if !freed.Swap(true) {
			clear(recs) // or the slice would keep the values in memory; and takeMessages expects zero records
			spareRecords.Put(&recs)
		}
	}
}
