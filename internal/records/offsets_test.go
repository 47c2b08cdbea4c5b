package records_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/records"
)

func TestOffsetsAreTheNumbersInDecimal(t *testing.T) {
	for _, first := range []uint64{0, 1, 5, 8, 9, 10, 95, 99, 100, 995, 99999, 1<<32 - 3, 9_999_999_999, 999_999_999_999_999_999, 1e19 - 3, math.MaxUint64 - 1001, math.MaxUint64 - 12} {
		for _, n := range []int{0, 1, 2, 11, 120, 1000} {
			if uint64(n) > math.MaxUint64-first {
				continue // the last record needs a successor
			}
			for _, suffix := range []string{"", "@k", "@0123456789a"} {
				recs := make([]backend.Record, n)
				records.SetOffsets(recs, first, suffix)
				for i, r := range recs {
					seq := first + uint64(i)
					at, next := strconv.FormatUint(seq, 10)+suffix, strconv.FormatUint(seq+1, 10)+suffix
					if string(r.Offset) != at || string(r.Next) != next {
						t.Fatalf("record %d of %d from %d: %q and %q, want %q and %q", i, n, first, r.Offset, r.Next, at, next)
					}
				}
			}
		}
	}
}

func TestOffsetsOfABatchAreOneAllocation(t *testing.T) {
	recs := make([]backend.Record, 1000)
	if n := testing.AllocsPerRun(10, func() { records.SetOffsets(recs, 95, "@0123456789a") }); n > 1 {
		t.Fatalf("%v allocations for a batch", n)
	}
}

func BenchmarkSetOffsets(b *testing.B) {
	recs := make([]backend.Record, 1000)
	b.ReportAllocs()
	for b.Loop() {
		records.SetOffsets(recs, 123_456_789, "@m3xk29ab")
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
}
