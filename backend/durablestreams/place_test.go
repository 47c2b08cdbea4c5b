package durablestreams

import (
	"io"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
)

// The places of a batch are written one behind the other, each from the one before it. They are those that place makes, also
// where a number grows by a digit, where a response is cut in the middle, and where numbers are those of bytes.
func TestPlacesOfBatch(t *testing.T) {
	open := io.NopCloser(strings.NewReader(""))
	for _, step := range []int64{1, 2, 9, 10, 37} {
		for _, first := range []int64{1, 8, 95, 998, 9_999_999_990} {
			r := &reader{at: place("", "a_b", first-1)}
			r.response = response{body: open, start: "a_b"}
			for i := range int64(1100) {
				r.counts = append(r.counts, first+i*step)
			}
			recs := make([]backend.Record, len(r.counts))
			r.setPlaces(recs)
			before := place("", "a_b", first-1)
			for i, n := range r.counts {
				if recs[i].Offset != before || recs[i].Next != place("", "a_b", n) {
					t.Fatalf("from %d by %d: record %d is at %q and goes on at %q, want %q and %q",
						first, step, i, recs[i].Offset, recs[i].Next, before, place("", "a_b", n))
				}
				before = recs[i].Next
			}
			if r.at != before {
				t.Fatalf("the batch goes on at %q, want %q", r.at, before)
			}
		}
	}
}
