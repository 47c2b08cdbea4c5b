package producer

// newArena returns memory for the values of a new batch: the arena of a decided batch, or new memory of the size that the
// batch just before needed. The size of an older batch would be a bad guide: a store may be silent for thousands of small
// batches behind a single large batch, and each would then get as much memory as the large batch.
func (e *engine) newArena() *[]byte {
	if a, ok := e.spareArenas.Get().(*[]byte); ok {
		return a
	}
	return new(make([]byte, 0, max(e.lastFilled, firstChunk)))
}

// A loan is the flight whose records a call of Send may still read. The session may read the records until two things have
// happened: the ack, and the return of Send. The ack may come first. If we gave the memory back at the ack, the memory would
// get the records of a later batch while Send still reads it.
type loan struct {
	flight  *flight
	decided bool // the flight is decided, and only the loan keeps its memory
}

// retire opens the latch of a decided flight, so that its receipts return at once. retire also gives back the memory of the
// flight, unless Send may still read the records; then sendReturned gives the memory back.
func (e *engine) retire(f *flight) {
	e.mu.Lock()
	lent := e.loan.flight == f
	e.loan.decided = e.loan.decided || lent
	e.mu.Unlock()
	if !lent {
		e.recycle(f)
	}
	close(f.latch.done)
}

// sendReturned ends the loan.
func (e *engine) sendReturned() {
	e.mu.Lock()
	ended := e.loan
	e.loan = loan{}
	e.mu.Unlock()
	if ended.decided {
		e.recycle(ended.flight)
	}
}

// recycle gives the memory of a decided flight to later flights, and its room in the buffer to callers who wait for room.
func (e *engine) recycle(f *flight) {
	*f.memory = f.arena[:0]
	e.spareArenas.Put(f.memory)
	f.arena, f.memory, f.headers = nil, nil, nil
	e.queue.Release(f.batch)
}
