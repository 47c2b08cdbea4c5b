package consumer

import (
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// A lentBatch is a batch whose reader wants its slice of records back. The batch is cut into chunks, and the slice goes back when
// all records of all chunks are done: until then the tracker looks places up in it. A batch is not given back while a handler of
// Process may still look at a record.
type lentBatch struct {
	uses atomic.Int32 // of the slice: one for each chunk, and one while the batch is cut
	free func()
}

// lend returns the lentBatch of b, in use by the caller. It is nil if the reader does not want the slice back.
func lend(b backend.Batch) *lentBatch {
	if b.Free == nil {
		return nil
	}
	l := &lentBatch{free: b.Free}
	l.uses.Store(1)
	return l
}

// use says that one more chunk uses the slice.
func (l *lentBatch) use() {
	if l != nil {
		l.uses.Add(1)
	}
}

// leave says that one use has ended. A use that never ends, for example of a chunk that the loop did not reach, leaves the slice to
// the garbage collector.
func (l *lentBatch) leave() {
	if l != nil && l.uses.Add(-1) == 0 {
		l.free()
	}
}
