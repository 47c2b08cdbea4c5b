//go:build !race

package s2

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// repeated is a source that gives the same batch again and again.
type repeated struct{ give func() wire.Batch }

func (r repeated) next() (wire.Batch, bool, error) { return r.give(), false, nil }

// A record costs the memory of its value and of its offset. The slice of the records is used again when the caller has freed
// the slice. The pools of the race detector forget at random, so this test is not part of its build.
func TestReadingAllocatesNoSlices(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the pools
	var frame []byte
	for i := range byte(100) {
		frame = append(frame, 0x0a, 10, 1<<3, i, 4<<3|2, 6, 'v', 'a', 'l', 'u', 'e', 's') // number i, and a body
	}
	var decoder wire.Decoder
	r := &reader{stream: &Stream{}, known: true, suffix: "@m3xk29ab"}
	r.source = repeated{func() wire.Batch {
		r.next = 0
		b, err := decoder.Decode(frame)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}}
	read := func() {
		b, err := r.Read(t.Context())
		if err != nil || b.Free == nil || len(b.Records) != 100 || b.Records[99].Offset != "99@m3xk29ab" || b.Records[0].Headers != nil {
			t.Fatalf("%+v, %v", b, err)
		}
		b.Free()
	}
	read()
	const rounds = 100
	least := uint64(math.MaxUint64) // other goroutines of the process may allocate at the same time
	for range 5 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range rounds {
			read()
		}
		runtime.ReadMemStats(&after)
		least = min(least, (after.TotalAlloc-before.TotalAlloc)/rounds/100)
	}
	if least > 30 {
		t.Errorf("%d bytes for a record, want 30 at most: 11 for its offset, and a part of what a batch costs", least)
	}
}
