package server

import "testing"

// A batch that a trim removed from the file between the look at the log and the reading is not delivered, and does not
// count as if it had been.
func TestABatchThatATrimRemovedIsNotCounted(t *testing.T) {
	var b batch
	c := chunk{first: 10, records: 3, metered: 30}
	all, done, err := b.take(&c, 10, limits{records: 100, metered: 1000, until: forever})
	if !all || done || err != nil || b.records != 0 || b.metered != 0 || len(b.segs) != 0 {
		t.Errorf("%v, %v, %v: counted %d records and %d bytes of none", all, done, err, b.records, b.metered)
	}
}
