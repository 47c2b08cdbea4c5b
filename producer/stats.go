package producer

// Stats are a snapshot of a producer's counters since New.
type Stats struct {
	Acked    uint64 // records that are durable
	Failed   uint64 // records that were accepted and given up
	Batches  uint64 // batches handed to sessions, resends included
	Resent   uint64 // of Batches, the number handed to a session again
	Sessions uint64 // sessions opened

	Open          bool // a session with the store is open
	Buffered      int  // records accepted and not decided
	BufferedBytes int  // bytes that the buffered records count against BufferBytes
	InFlight      int  // batches taken by the session and not acknowledged
}

// snapshot reads the counters. The buffer has a lock of its own, so its numbers may be a moment newer.
func (e *engine) snapshot() Stats {
	e.mu.Lock()
	s := e.stats
	s.InFlight = e.window.sent
	e.mu.Unlock()
	s.Buffered, s.BufferedBytes = e.queue.Held()
	return s
}
