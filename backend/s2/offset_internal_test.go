package s2

import (
	"math"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

func TestOffsetsAreTheNumbersInDecimal(t *testing.T) {
	for _, first := range []uint64{0, 1, 8, 9, 98, 99, 995, 1<<32 - 3, 9_999_999_999, 999_999_999_999_999_999, 9_999_999_999_999_999_998, math.MaxUint64 - 1001, math.MaxUint64 - 12} {
		for _, n := range []int{1, 2, 11, 1000} {
			if uint64(n) > math.MaxUint64-first {
				continue // the last record needs a successor
			}
			b := wire.Batch{Records: make([]backend.Record, n), First: first}
			setOffsets(&b, "@k")
			for i, r := range b.Records {
				if seq := first + uint64(i); r.Offset != offsetIn(seq, "@k") || r.Next != offsetIn(seq+1, "@k") {
					t.Fatalf("record %d of %d from %d: %q and %q", i, n, first, r.Offset, r.Next)
				}
			}
		}
	}
	b := wire.Batch{Records: make([]backend.Record, 2), Seqs: []uint64{9, 12}, First: 9}
	setOffsets(&b, "@k")
	if r := b.Records; r[0].Offset != "9@k" || r[0].Next != "10@k" || r[1].Offset != "12@k" || r[1].Next != "13@k" {
		t.Errorf("with a gap: %+v", r)
	}
}
