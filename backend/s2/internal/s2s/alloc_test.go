//go:build !race

package s2s

import (
	"bytes"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

// The values of the records point into the payload, so its memory stays for as long as the caller keeps a record.
// The pools of the race detector forget at random, so this test is not part of its build.
func TestOpenAllocatesNoMoreThanThePayload(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // a collection empties the pools
	for codec, flags := range map[Codec]Flags{Zstd: 0x20, Gzip: 0x40} {
		for _, n := range []int{10_000, 100_000, 900_000} {
			payload := letters(n)
			sealed := piecemeal(t, codec, payload)
			c, _ := new(Coders).New(None)
			least := uint64(math.MaxUint64) // the first time makes the decoder, and other goroutines may allocate at the same time
			for range 5 {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				got, err := c.Open(flags, sealed)
				runtime.ReadMemStats(&after)
				if err != nil || !bytes.Equal(got, payload) {
					t.Fatalf("%v of %d bytes: %d come back, %v", codec, n, len(got), err)
				}
				least = min(least, after.TotalAlloc-before.TotalAlloc)
			}
			if most := uint64(n + n/4 + 4096); least > most {
				t.Errorf("%v: a payload of %d bytes allocates %d, want %d at most", codec, n, least, most)
			}
		}
	}
}
