package consumer

import (
	"sync/atomic"

	"github.com/headrace/headrace/internal/ahead"
)

// A gate lets records begin only while a checkpoint can hold all that they may leave behind. Every record that finishes
// above the low-water mark may begin a new run of done records, and a checkpoint holds up to ahead.Runs runs. While the
// gate is shut, only the record at the low-water mark may begin, so there is always one that may.
//
// The lock of the workers guards a gate.
type gate struct {
	track *tracker
	left  int         // records that may begin before the runs must be counted again
	shut  atomic.Bool // workers wait until the low-water mark moves
}

// admit returns how many of n records may begin. inHand is how many more may be in hand.
func (g *gate) admit(n, inHand int) int {
	if g.left < n {
		// Set shut before counting: a worker that finishes a record in between sees it, and wakes the others.
		g.shut.Store(true)
		// With very many handlers we accept that a checkpoint has no room for some records.
		g.left = ahead.Runs - min(inHand, ahead.Runs/2) - g.track.runs()
	}
	n = max(0, min(n, g.left))
	g.left -= n
	if n > 0 {
		g.shut.Store(false)
	}
	return n
}
