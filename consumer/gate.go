package consumer

import (
	"sync/atomic"

	"github.com/headrace/headrace/internal/ahead"
)

// A gate bounds the runs of done records above the low-water mark, because a checkpoint lists up to ahead.Runs runs:
// after a kill, done records outside of the list run again. Every record finished above the mark may begin a new run. A
// batch may begin a run, and another run for each of its gaps. While the gate is shut, only the record at the low-water
// mark may begin, so the loop always goes on.
//
// The lock of the workers guards a gate.
type gate struct {
	track *tracker
	left  int         // records that may begin before the runs must be counted again
	shut  atomic.Bool // workers wait until the low-water mark moves
}

// admit returns how many runs may begin, at least least and at most most, or 0. inHand is how many runs the records in hand
// may begin.
func (g *gate) admit(least, most, inHand int) int {
	if g.left < most {
		// Set shut before counting: a worker that finishes a record in between sees shut, and wakes the others.
		g.shut.Store(true)
		// With very many handlers, some done records may find no room in a checkpoint.
		g.left = ahead.Runs - min(inHand, ahead.Runs/2) - g.track.runs()
	}
	n := min(most, g.left)
	if n < least {
		return 0
	}
	g.left -= n
	g.shut.Store(false)
	return n
}

// mostGaps returns how many gaps a batch may have. The limit lets the batches of all handlers fit into half of the runs
// of a checkpoint. If one batch took all runs, only one handler would work.
func mostGaps(handlers int) int32 { return max(0, int32(ahead.Runs/2/handlers)-1) }
