package producer

// arena returns memory for a new batch: that of a decided one, or as much as the one just before it needed. A batch that
// was decided longer ago is no guide: a store may be silent for thousands of small batches behind one large one.
func (e *engine) arena() *[]byte {
	if a, ok := e.spare.Get().(*[]byte); ok {
		return a
	}
	return new(make([]byte, 0, max(e.filled, firstChunk)))
}

// A loan is the flight whose records a call of Send may be reading. The ack of a batch may come before its Send returns, and
// the session may read the records until both have happened: given back at the ack, their memory would hold the records of
// a later batch while Send still reads it.
type loan struct {
	flight *flight
	over   bool // the flight is decided, and only the loan keeps its memory
}

// retire opens the latch of a decided flight to its receipts and gives back what the flight holds, unless Send may be reading
// it.
func (e *engine) retire(f *flight) {
	e.mu.Lock()
	lent := e.loan.flight == f
	e.loan.over = e.loan.over || lent
	e.mu.Unlock()
	if !lent {
		e.recycle(f)
	}
	close(f.latch.done)
}

// sendReturned ends the loan.
func (e *engine) sendReturned() {
	e.mu.Lock()
	was := e.loan
	e.loan = loan{}
	e.mu.Unlock()
	if was.over {
		e.recycle(was.flight)
	}
}

// recycle gives what a decided flight holds to those who wait for it: its memory to the next flights, its room to callers.
func (e *engine) recycle(f *flight) {
	*f.memory = f.arena[:0]
	e.spare.Put(f.memory)
	f.arena, f.memory, f.headers = nil, nil, nil
	e.queue.Release(f.batch)
}
