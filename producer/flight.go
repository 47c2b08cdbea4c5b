package producer

import (
	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
)

type (
	batch = batcher.Batch[backend.Record, *flight]
	queue = batcher.Batcher[backend.Record, *flight]
)

// A flight is the data of the producer beside a batch, from the first record of the batch to the decision on the last record.
// The batch holds the flight as its Companion.
type flight struct {
	*batch
	no        uint64 // number of the batch, counted in the order in which batches begin
	latch     *latch
	arena     []byte           // the newest chunk of memory for the values of the records
	memory    *[]byte          // the slice in which arena began; goes to the next flight
	copied    int              // bytes copied into all chunks
	headers   []backend.Header // the newest chunk of memory for the headers of the records
	undecided int              // number of records not decided; at 0 the latch opens
}

// flightBytes is the memory of a batch beside its records: flight, latch, channel, place in the window and first chunk.
// Measured with one record of 100 bytes in each batch. If the producer did not count these bytes, a producer that never
// lingers would hold five times its buffer.
const flightBytes = 850

// firstChunk is the smallest chunk that a flight allocates, in bytes: a lone small record should not cost a whole page.
const firstChunk = 512

// keep copies the bytes of the newest record into memory of the flight, because the bytes belong to the caller. When a chunk is
// full, the flight forgets the chunk and allocates another; the records in the full chunk keep the chunk alive.
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

// bufferedBytes is the number of bytes that a record counts against BufferBytes, beside its own struct.
func bufferedBytes(r *backend.Record) int {
	n := len(r.Value)
	for i := range r.Headers {
		n += headerBytes + len(r.Headers[i].Name) + len(r.Headers[i].Value)
	}
	return n
}

const headerBytes = 40 // size of a backend.Header: a string and a slice

// copy copies p into the arena. The capacity of the result ends with p, so that nobody can append into the next record.
func (f *flight) copy(p []byte) []byte {
	if cap(f.arena)-len(f.arena) < len(p) {
		f.arena = make([]byte, 0, max(2*cap(f.arena), len(p), firstChunk))
	}
	first := len(f.arena)
	f.arena = append(f.arena, p...)
	f.copied += len(p)
	return f.arena[first:len(f.arena):len(f.arena)]
}

// decide records the decision on a run of records. Runs are decided in order. decide returns true when the run held the last
// undecided record of the flight. The engine's lock must be held.
func (f *flight) decide(s span) bool {
	f.latch.spans = append(f.latch.spans, s)
	f.undecided -= s.n
	return f.undecided == 0
}
