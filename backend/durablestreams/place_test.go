package durablestreams

import (
	"io"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
)

// The places of bytes are those that place makes, also where a number grows by a digit, and where a response is cut in the middle.
func TestPlacesOfBytes(t *testing.T) {
	open := io.NopCloser(strings.NewReader(""))
	for _, step := range []int64{1, 2, 9, 10, 37} {
		for _, first := range []int64{1, 8, 95, 998, 9_999_999_990} {
			r := &reader{at: place("", "a_b", first-1)}
			r.response, r.as = response{body: open, start: "a_b"}, frames
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

// The places of messages share their texts. Each is read as its number, and two readers spell a place alike, wherever their
// batches begin.
func TestPlacesOfMessagesHaveOneSpelling(t *testing.T) {
	open := io.NopCloser(strings.NewReader(""))
	spelled := map[int64]backend.Offset{}
	for _, first := range []int64{1, 2, 8, 15, 16, 17, 95, 998} {
		r := &reader{at: "a_b/0"}
		r.response, r.as, r.id = response{body: open, start: "a_b"}, messages, "id"
		for i := range int64(1100) {
			r.counts = append(r.counts, first+i)
		}
		recs := make([]backend.Record, len(r.counts))
		r.setPlaces(recs)
		for i, n := range r.counts {
			id, offset, got, err := parsePlace(recs[i].Next)
			if err != nil || id != "id" || offset != "a_b" || got != n {
				t.Fatalf("place %q of message %d is read as %q, %q, %d: %v", recs[i].Next, n, id, offset, got, err)
			}
			if before := spelled[n]; before != "" && before != recs[i].Next {
				t.Fatalf("place %d is %q and %q", n, before, recs[i].Next)
			}
			spelled[n] = recs[i].Next
		}
	}
}

func TestPlaceWithMisplacedMarksIsRefused(t *testing.T) {
	for _, o := range []backend.Offset{"a/5+", "a/+", "a/0++++++++++++++++", "a/16+1", "a/1+"} {
		if _, _, n, err := parsePlace(o); err == nil {
			t.Errorf("%q is read as %d", o, n)
		}
	}
}
