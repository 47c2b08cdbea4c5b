package backendtest

import (
	"context"
	"testing"

	"github.com/headrace/headrace/backend"
)

func TestDiscardAllocatesNothing(t *testing.T) {
	s, err := Discard(backend.Limits{}).NewAppender(backend.Format{}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	batch := recs("a", "b")
	var seq uint64
	allocs := testing.AllocsPerRun(100, func() {
		if err := s.Send(context.Background(), seq, batch); err != nil {
			t.Fatal(err)
		}
		if ack, err := s.Recv(context.Background()); err != nil || ack.Seq != seq {
			t.Fatalf("ack %d, %v, want %d", ack.Seq, err, seq)
		}
		seq++
	})
	if allocs != 0 {
		t.Errorf("%v allocations a batch", allocs)
	}
}

// What a measurement on top of Discard cannot get below.
func BenchmarkDiscard(b *testing.B) {
	s, err := Discard(backend.Limits{}).NewAppender(backend.Format{}).Open(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	batch := recs("one")
	b.ReportAllocs()
	var seq uint64
	for b.Loop() {
		if err := s.Send(b.Context(), seq, batch); err != nil {
			b.Fatal(err)
		}
		if _, err := s.Recv(b.Context()); err != nil {
			b.Fatal(err)
		}
		seq++
	}
	b.ReportMetric(float64(seq)/b.Elapsed().Seconds(), "records/s")
}
