//go:build !race

package durablestreams_test

import (
	"testing"
	"time"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// A record appended in large batches costs a twentieth of an allocation at most, from the producer to the server's storage,
// which is in the same process here. A request costs some 160 on both sides together, of which package net/http makes most,
// whatever it holds. The race detector's pools forget at random, so it is not asked.
func TestAppendAllocations(t *testing.T) {
	const records = 50_000
	c, _ := serve(t)
	s := c.Stream("allocations")
	if _, err := s.Create(t.Context(), "application/json"); err != nil {
		t.Fatal(err)
	}
	p, err := producer.New(t.Context(), s, codec.JSON[item](), producer.BatchRecords(perBatch), producer.Linger(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	round := func() {
		for i := range records {
			if _, err := p.Enqueue(t.Context(), itemOf(i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	n := testing.AllocsPerRun(3, round) / records
	t.Logf("%.4f allocations a record", n)
	if n > 0.05 {
		t.Errorf("%.4f allocations a record, want 0.05 at most", n)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
}
