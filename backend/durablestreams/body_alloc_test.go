//go:build !race

package durablestreams

import (
	"bytes"
	"slices"
	"testing"

	"github.com/headrace/headrace/backend"
)

// The first body of a producer has no memory from an earlier body. It takes little more than its own length, although nobody has
// measured the records.
func TestFirstBodyTakesLittleMoreMemoryThanItsLength(t *testing.T) {
	recs := slices.Repeat([]backend.Record{{Value: bytes.Repeat([]byte("1"), 100)}}, 10_000)
	for name, e := range map[string]encoding{
		"JSON":     {body: bodyJSON},
		"framed":   {body: bodyFrames},
		"raw":      {body: bodyRaw},
		"envelope": {body: bodyEnvelopes},
	} {
		var body []byte
		allocations := testing.AllocsPerRun(5, func() { body = e.body(nil, recs) })
		if allocations > 3 || cap(body) > len(body)*5/4 {
			t.Errorf("%s: %v allocations, and %d bytes for a body of %d", name, allocations, cap(body), len(body))
		}
		if again := testing.AllocsPerRun(5, func() { body = e.body(body[:0], recs) }); again > 0 {
			t.Errorf("%s: %v allocations in the memory of an equal body", name, again)
		}
	}
}
