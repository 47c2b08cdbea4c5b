package producer

import "github.com/headrace/headrace/backend"

// newArena returns memory for the values of a new batch: the arena of a decided batch, or new memory of the size that the
// batch just before needed. The size of an older batch would be a bad guide: a store may be silent for thousands of small
// batches behind a single large batch, and each would then get as much memory as the large batch.
func (e *engine) newArena() *[]byte {
	if a, ok := e.spareArenas.Get().(*[]byte); ok {
		return a
	}
	return new(make([]byte, 0, max(e.lastFilled, firstChunk)))
}

// newRecords makes the records of a batch, in the memory of a decided batch if that is large enough.
//
// The memory still has the values of the decided batch, because clearing them takes as long as writing the new values. So spare
// memory keeps arenas alive, but not for longer than until the second garbage collection after its last use. Headers and times are
// cleared before the memory becomes spare (recycle), so nearly always the values alone have to be written.
func (e *engine) newRecords(entries []entry) *[]backend.Record {
	n := len(entries)
	memory, ok := e.spareRecords.Get().(*[]backend.Record)
	if !ok || cap(*memory) < n {
		memory = new(make([]backend.Record, n))
	}
	if old := *memory; len(old) > n {
		clear(old[n:]) // or a large batch of long ago would stay alive behind small batches
	}
	records := (*memory)[:n]
	for i := range records {
		records[i].Value = entries[i].value
		if x := entries[i].extra; x != nil {
			records[i].Headers, records[i].Time = x.headers, x.time
		}
	}
	*memory = records
	return memory
}

// A loan is the batch whose records the running Send of the session may still read. The session may read the records until two
// things have happened: the ack, and the return of Send. The ack may come first. If we gave the memory back at the ack, the
// records of a later batch would go into the memory while Send still reads from it.
type loan struct {
	batch   *batchData
	decided bool // the batch is decided, and the end of the loan gives the memory back
}

// retire opens the latch of a decided batch, so that the receipts of the batch return. retire also gives back the memory of the
// batch, unless Send may still read the records; then sendReturned gives the memory back.
func (e *engine) retire(d *batchData) {
	e.mu.Lock()
	lent := e.loan.batch == d
	e.loan.decided = e.loan.decided || lent
	e.mu.Unlock()
	if !lent {
		e.recycle(d)
	}
	close(d.latch.done)
}

// sendReturned ends the loan. A single goroutine sends, so there is at most one loan at a time.
func (e *engine) sendReturned() {
	e.mu.Lock()
	ended := e.loan
	e.loan = loan{}
	e.mu.Unlock()
	if ended.decided {
		e.recycle(ended.batch)
	}
}

// recycle gives the largest chunk of a decided batch to later batches, and the room of the batch in the buffer to callers who
// wait. A chunk that held only a part of the batch is not worth keeping: every later batch would need more chunks beside it.
func (e *engine) recycle(d *batchData) {
	largest := d.arena
	if cap(d.largest) > cap(largest) {
		largest = d.largest
	}
	if cap(largest) >= d.copied/4*3 {
		*d.spare = largest[:0]
		e.spareArenas.Put(d.spare)
	}
	if d.extras != nil {
		clear(*d.made)
	}
	e.spareRecords.Put(d.made)
	d.arena, d.largest, d.spare, d.headers, d.extras, d.made = nil, nil, nil, nil, nil, nil
	e.queue.Release(d.batch)
}
