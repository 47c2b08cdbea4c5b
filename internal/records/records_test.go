package records_test

import (
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/records"
)

func filled(n int) []backend.Record {
	recs := records.Slice(n)
	for range n {
		recs = append(recs, backend.Record{Value: []byte("v"), Offset: "o", Next: "n"})
	}
	return recs
}

func TestFreedSliceHoldsNoRecords(t *testing.T) {
	recs := filled(100)
	records.Free(recs)()
	for i, r := range recs {
		if r.Value != nil || r.Offset != "" || r.Next != "" {
			t.Fatalf("record %d is %+v after Free", i, r)
		}
	}
}

func TestSecondFreeDoesNothing(t *testing.T) {
	recs := filled(100)
	free := records.Free(recs)
	free()
	recs[0].Offset = "of the next batch"
	if free(); recs[0].Offset == "" {
		t.Error("the second Free has cleared the slice again")
	}
}

func TestSliceHasRoom(t *testing.T) {
	for _, n := range []int{0, 1, 63, 64, 1000, 100, 5000} {
		if recs := records.Slice(n); len(recs) != 0 || cap(recs) < n {
			t.Errorf("Slice(%d) has length %d and room for %d", n, len(recs), cap(recs))
		}
		if free := records.Free(filled(n)); free != nil {
			free()
		} else if n >= 64 {
			t.Errorf("no Free for %d records", n)
		}
	}
}
