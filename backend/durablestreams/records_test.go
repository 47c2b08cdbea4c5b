package durablestreams_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams/durablestreamstest"
)

// The records that a caller has copied stay as they are, however many batches use the slice again.
func TestRecordsStayWhenTheirSliceIsFreed(t *testing.T) {
	s := durablestreamstest.New(t).Client().Stream("s")
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	const n = 20_000
	var body bytes.Buffer
	for i := range n {
		fmt.Fprintf(&body, "%c%d", "[,"[min(i, 1)], 1_000_000+i)
	}
	body.WriteByte(']')
	if _, err := s.Append(t.Context(), "application/json", body.Bytes()); err != nil {
		t.Fatal(err)
	}
	var kept []backend.Record
	for range 2 { // the second reader finds the slices of the first
		kept = append(kept, readFreeing(t, s)...)
	}
	if len(kept) != 2*n {
		t.Fatalf("%d records, want %d", len(kept), 2*n)
	}
	for i, r := range kept {
		if want := fmt.Sprint(1_000_000 + i%n); string(r.Value) != want || i%n > 0 && r.Offset != kept[i-1].Next || r.Headers != nil || !r.Time.IsZero() {
			t.Fatalf("record %d is %+v behind %q, want %s", i, r, kept[max(i-1, 0)].Next, want)
		}
	}
}

// readFreeing reads a stream to its tail, copies the records out of each batch, and gives the slice back, twice.
func readFreeing(t *testing.T, s backend.Source) (all []backend.Record) {
	t.Helper()
	r, err := s.OpenReader(t.Context(), backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		b, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b.Records...)
		if b.Free != nil {
			b.Free()
			b.Free()
		}
		if b.CaughtUp {
			return all
		}
	}
}
