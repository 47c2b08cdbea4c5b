package histories

import (
	"fmt"
	"sync/atomic"

	"github.com/headrace/headrace/producer"
)

// counts are over all histories of a run.
type counts struct {
	histories  atomic.Int64
	records    atomic.Int64 // in the streams at the end
	duplicates atomic.Int64 // of them, further copies
	acked      atomic.Int64 // records
	refused    atomic.Int64
	faults     atomic.Int64 // injected, those of checkpoint stores included
	resends    atomic.Int64 // batches
	idle       atomic.Int64 // sessions that ended because there was nothing to send
	producers  atomic.Int64 // made in place of one that crashed or stopped
	loops      atomic.Int64 // of consumers, after the first of each
	delivered  atomic.Int64
	repeated   atomic.Int64 // deliveries of a record that the consumer had seen before
	letters    atomic.Int64
}

func (c *counts) String() string {
	return fmt.Sprintf("%d histories, %d records stored (%d further copies), %d acknowledged, %d refused, %d faults injected, "+
		"%d batches sent again, %d idle sessions ended, %d producers and %d loops of consumers started again, %d deliveries (%d repeated), %d dead letters",
		c.histories.Load(), c.records.Load(), c.duplicates.Load(), c.acked.Load(), c.refused.Load(), c.faults.Load(),
		c.resends.Load(), c.idle.Load(), c.producers.Load(), c.loops.Load(), c.delivered.Load(), c.repeated.Load(), c.letters.Load())
}

// idleHook counts the idle sessions of a producer.
func (c *counts) idleHook() producer.Hooks {
	return producer.Hooks{SessionIdle: func(producer.SessionEvent) { c.idle.Add(1) }}
}
