package zerobus

import (
	"testing"

	"github.com/headrace/headrace/backend"
)

// The memory has the length that was asked for and a capacity of less than twice the length, also if the memory was lent before.
func TestLentMemory(t *testing.T) {
	var p buffers
	for _, n := range []int{0, 1, 2, 3, 1023, 1024, 1025, 100_000, 1 << 20, 1<<20 + 1, largestBuffer, largestBuffer + 1, 10 << 20} {
		for range 3 {
			b := p.Get(n)
			if len(*b) != n || cap(*b) > max(2*n, 1) {
				t.Fatalf("asked for %d bytes, got %d of %d", n, len(*b), cap(*b))
			}
			*b = (*b)[:n/2] // a message may be shorter
			p.Put(b)
		}
	}
}

func TestMemoryIsLentAgain(t *testing.T) {
	var p buffers
	const n = 100_000
	if got := testing.AllocsPerRun(1000, func() { p.Put(p.Get(n)) }); got > 1 { // the race detector makes pools forget
		t.Errorf("%v allocations to lend the same memory again", got)
	}
}

// A message with a producer's default batch is a little larger than a power of two.
func TestADefaultBatchTakesNoMoreMemoryThanItNeeds(t *testing.T) {
	var p buffers
	r := ingestion{kind: jsonRecords, offset: 1 << 40, recs: make([]backend.Record, 10_000)} // the producer's limits
	for i := range r.recs {
		r.recs[i].Value = make([]byte, 1<<20/len(r.recs))
	}
	whole, _, _ := r.sizes()
	if b := p.Get(whole); cap(*b) > 17*whole/16 {
		t.Errorf("%d bytes for a message of %d", cap(*b), whole)
	}
}

func TestLargeMemoryIsNotKept(t *testing.T) {
	var p buffers
	b := p.Get(largestBuffer + 1)
	(*b)[0] = 'x'
	p.Put(b)
	for range 10 {
		if again := p.Get(largestBuffer + 1); (*again)[0] == 'x' {
			t.Fatal("memory beyond the largest size was kept")
		}
	}
}
