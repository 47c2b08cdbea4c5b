package producer

import (
	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
)

type (
	batch = batcher.Batch[backend.Record, *flight]
	queue = batcher.Batcher[backend.Record, *flight]
)

// A flight is what the producer keeps beside a batch from its first record to the decision on its last. It is the batch's
// companion.
type flight struct {
	*batch
	no        uint64 // counts batches in the order in which they were begun
	latch     *latch
	arena     []byte  // what the records' values lie in; the newest chunk of it
	memory    *[]byte // what arena began in, for the next flight
	used      int     // bytes copied, over all chunks
	headers   []backend.Header
	undecided int // records; the latch opens at 0
}

// flightBytes is what a batch costs beside its records: its flight, latch, channel, place in the window and first chunk.
// Measured with one record of 100 bytes in each; without it a producer that never lingers holds five times its buffer.
const flightBytes = 850

// firstChunk is the least that a flight allocates: a lone small record should not cost a page.
const firstChunk = 512

// keep copies the batch's newest record, whose bytes are the caller's, into memory of the batch. A chunk that is full is
// left behind: the records in it hold on to it.
func (f *flight) keep() {
	r := &f.Items[len(f.Items)-1]
	r.Value = f.copy(r.Value)
	if len(r.Headers) == 0 {
		return
	}
	if cap(f.headers)-len(f.headers) < len(r.Headers) {
		f.headers = make([]backend.Header, 0, max(2*cap(f.headers), len(r.Headers), 16))
	}
	first := len(f.headers)
	for _, h := range r.Headers {
		f.headers = append(f.headers, backend.Header{Name: h.Name, Value: f.copy(h.Value)})
	}
	r.Headers = backend.Headers(f.headers[first:len(f.headers):len(f.headers)])
}

// held is what a record counts against BufferBytes, beside its own struct.
func held(r *backend.Record) int {
	n := len(r.Value)
	for i := range r.Headers {
		n += headerBytes + len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

const headerBytes = 40 // a backend.Header: a string and a slice

func (f *flight) copy(p []byte) []byte {
	if cap(f.arena)-len(f.arena) < len(p) {
		f.arena = make([]byte, 0, max(2*cap(f.arena), len(p), firstChunk))
	}
	first := len(f.arena)
	f.arena = append(f.arena, p...)
	f.used += len(p)
	return f.arena[first:len(f.arena):len(f.arena)]
}

// decide records what became of a run of records, in order. It returns true when that was the last of them.
func (f *flight) decide(s span) bool {
	f.latch.spans = append(f.latch.spans, s)
	f.undecided -= s.n
	return f.undecided == 0
}
