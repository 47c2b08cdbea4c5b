package consumer

import (
	"context"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// recordOverhead is charged for each record in addition to its bytes. A backend.Record has 104 bytes; we assume 56 more
// for the decoded value and for the place of the record in the tracker. The charge bounds the number of records where
// the bytes alone would not: many empty records would use memory without a limit.
const recordOverhead = 160

// A budget bounds the unfinished records in memory. One goroutine, the reader, waits for room. Any goroutine may free
// room.
type budget struct {
	limit  int64
	used   atomic.Int64
	freed  chan struct{} // holds one token: used has become smaller
	full   atomic.Bool   // the reader waits for room
	onFull func()        // called when the reader begins to wait
}

// newBudget returns a budget of limit bytes.
func newBudget(limit int, onFull func()) *budget {
	return &budget{limit: int64(limit), freed: make(chan struct{}, 1), onFull: onFull}
}

// waitForRoom waits until less than limit is used and full returns false. Only the store knows the size of the next
// batch, so the real bound is the limit plus one batch. We cannot wait for the room of a whole batch: with a batch larger
// than the limit, the wait would never end.
func (b *budget) waitForRoom(ctx context.Context, full func() bool, stalls func() *stall) error {
	if b.used.Load() < b.limit && !full() {
		return nil
	}
	b.full.Store(true)
	defer b.full.Store(false)
	b.onFull()
	stall := stalls()
	defer stall.ticks.Stop()
	for b.used.Load() >= b.limit || full() {
		select {
		case <-b.freed:
		case <-stall.ticks.C:
			stall.look(ctx, "consumer: reading has stopped because the oldest record is not done and there is no room for more records")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// charge counts n bytes that were read.
func (b *budget) charge(n int) { b.used.Add(int64(n)) }

// free counts n bytes as done. free never blocks, because Message.Ack calls free. One token is enough, since the reader
// looks at used again after each token.
func (b *budget) free(n int) {
	if n == 0 {
		return
	}
	b.used.Add(-int64(n))
	select {
	case b.freed <- struct{}{}:
	default:
	}
}

// weigh returns how many bytes one record counts: its value, its headers, and recordOverhead.
func weigh(r *backend.Record) int {
	n := recordOverhead + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}
