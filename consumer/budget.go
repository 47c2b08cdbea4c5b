package consumer

import (
	"context"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// recordOverhead is charged for each record on top of its bytes: a backend.Record is 104 bytes, its decoded value and its
// place in the window are taken for another 56. It bounds the number of records where the bytes alone would not.
const recordOverhead = 160

// A budget bounds what was read and is not done. One goroutine waits for room, any may free it.
type budget struct {
	limit  int64
	used   atomic.Int64
	freed  chan struct{} // one token
	full   atomic.Bool   // somebody waits for room,
	filled func()        // and this was called
}

func newBudget(limit int, filled func()) *budget {
	return &budget{limit: int64(limit), freed: make(chan struct{}, 1), filled: filled}
}

// room waits until there is some. How large the next batch is only the store knows, so the bound is the limit plus one
// batch; a wait for the room of a whole batch could not end when the batch is larger than the limit.
func (b *budget) room(ctx context.Context, stalls func() *stall) error {
	if b.used.Load() < b.limit {
		return nil
	}
	b.full.Store(true)
	defer b.full.Store(false)
	b.filled()
	stall := stalls()
	defer stall.ticks.Stop()
	for b.used.Load() >= b.limit {
		select {
		case <-b.freed:
		case <-stall.ticks.C:
			stall.look(ctx, "consumer: reading has stopped: BufferBytes is full, and its oldest record is not done")
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (b *budget) charge(n int) { b.used.Add(int64(n)) }

// free never blocks, for whoever acknowledges a record calls it. One token is enough: the waiter looks at used again.
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

// weigh is what one record counts.
func weigh(r *backend.Record) int {
	n := recordOverhead + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}
