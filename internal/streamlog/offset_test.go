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
			for incarnation, suffix := range map[string]string{"": "", "k": "@k", "0123456789a": "@0123456789a"} {
				rs := make([]backend.Record, n)
				streamlog.SetOffsets(rs, first, incarnation)
				for i := range rs {
					seq := first + uint64(i)
					offset, next := strconv.FormatUint(seq, 10)+suffix, strconv.FormatUint(seq+1, 10)+suffix
					if string(rs[i].Offset) != offset || string(rs[i].Next) != next || rs[i].Offset != streamlog.FormatOffset(seq, incarnation) {
						t.Fatalf("record %d: %q, next %q", seq, rs[i].Offset, rs[i].Next)
					}
				}
			}
		}
	}
}

func TestSetOffsetsCostsNothingARecord(t *testing.T) {
	rs := make([]backend.Record, 1000)
	if n := testing.AllocsPerRun(10, func() { streamlog.SetOffsets(rs, 95, "0123456789a") }); n > 2 {
		t.Fatalf("%v allocations for a batch", n)
	}
}

func FuzzParseOffset(f *testing.F) {
	for _, s := range []string{"", "0", "1", "01", "-1", "@latest", "18446744073709551615", "18446744073709551616", "1/2", "1@", "1@a", "1@a@b", "@a", "01@a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		seq, incarnation, ok := streamlog.ParseOffset(backend.Offset(s))
		if ok && string(streamlog.FormatOffset(seq, incarnation)) != s {
			t.Fatalf("%q parsed as %d in %q, which is written otherwise", s, seq, incarnation)
		}
	})
}
