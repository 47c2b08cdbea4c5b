package s2

import (
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// Records that are filtered out, or that stand behind a hole, leave no trace in the slice that the next batch uses.
func TestAFreedSliceHoldsNoRecordsThatWereCutOff(t *testing.T) {
	recs := make([]backend.Record, 100)
	for i := range recs {
		recs[i] = backend.Record{Value: []byte("fence"), Headers: backend.Headers{{Value: []byte("fence")}}}
	}
	recs[0].Headers = nil
	b := wire.Batch{Records: recs}
	for i := range recs {
		b.Seqs = append(b.Seqs, uint64(i))
	}
	b.Seqs[99] = 1000
	r := &reader{stream: &Stream{}, known: true}
	out, err := r.batch(t.Context(), b)
	if err != nil || out.Free == nil || len(out.Records) != 1 || r.pending == nil {
		t.Fatalf("%+v, %v, pending %v", out, err, r.pending)
	}
	out.Free()
	for i := range recs {
		if recs[i].Value != nil || recs[i].Headers != nil || recs[i].Offset != "" {
			t.Fatalf("record %d of a freed slice is %+v", i, recs[i])
		}
	}
}
