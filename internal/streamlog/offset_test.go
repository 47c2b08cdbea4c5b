package streamlog_test

import (
	"math"
	"strconv"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

func TestSetOffsets(t *testing.T) {
	for _, first := range []uint64{0, 5, 9, 10, 95, 99, 100, 998, 99999, 1e19 - 3, math.MaxUint64 - 120} {
		for _, n := range []int{0, 1, 2, 7, 120} {
			rs := make([]backend.Record, n)
			streamlog.SetOffsets(rs, first)
			for i := range rs {
				seq := first + uint64(i)
				if rs[i].Offset != backend.Offset(strconv.FormatUint(seq, 10)) || rs[i].Next != backend.Offset(strconv.FormatUint(seq+1, 10)) {
					t.Fatalf("record %d: %q, next %q", seq, rs[i].Offset, rs[i].Next)
				}
			}
		}
	}
}

func TestSetOffsetsCostsNothingARecord(t *testing.T) {
	rs := make([]backend.Record, 1000)
	if n := testing.AllocsPerRun(10, func() { streamlog.SetOffsets(rs, 95) }); n > 2 {
		t.Fatalf("%v allocations for a batch", n)
	}
}

func FuzzParseOffset(f *testing.F) {
	for _, s := range []string{"", "0", "1", "01", "-1", "@latest", "18446744073709551615", "18446744073709551616", "1/2"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		seq, ok := streamlog.ParseOffset(backend.Offset(s))
		if ok && string(streamlog.FormatOffset(seq)) != s {
			t.Fatalf("%q parsed as %d, which is written otherwise", s, seq)
		}
	})
}
