package producer

import (
	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/batcher"
)

type (
	batch = batcher.Batch[entry, *batchData]
	queue = batcher.Batcher[entry, *batchData]
)

// batchData is what the producer knows of a batch, from the first record of the batch to the decision on the last record. The
// batch holds its batchData as the Companion.
//
// While the batch is being filled, only keep uses the fields, under the lock of the batcher. From push on, the lock of the
// engine guards undecided and the spans of the latch.
type batchData struct {
	*batch
	no        uint64 // number of the batch, counted in the order in which batches begin
	latch     *latch
	arena     []byte            // the newest chunk of memory for the values of the records
	largest   []byte            // the largest chunk before arena
	spare     *[]byte           // the entry of spareArenas: recycle puts a chunk into the entry, and allocates no other
	copied    int               // bytes copied into all chunks
	bound     int               // BatchBytes: about as many bytes are copied at most
	headers   []backend.Header  // the newest chunk of memory for the headers of the records
	extras    []extra           // the newest chunk of memory for the extras of the records
	made      *[]backend.Record // the records of the batch, from push on
	undecided int               // number of records not decided; at 0 the latch opens
}

// batchDataBytes is the memory of a batch beside its records: batchData, latch, channel, place in the window and first chunk.
// Measured with one record of 100 bytes in each batch. If the producer did not count these bytes, a producer that never
// lingers would hold five times its buffer.
const batchDataBytes = 1000

// firstChunk is the smallest chunk of an arena, in bytes: a lone small record should not cost a whole page.
const firstChunk = 512

// keepExtra copies the headers and the time of a record. The first chunk of memory has room for a single record: a batch may hold a
// single record, and memory for more would not count against BufferBytes.
func (d *batchData) keepExtra(x *extra) *extra {
	if cap(d.headers)-len(d.headers) < len(x.headers) {
		d.headers = make([]backend.Header, 0, max(2*cap(d.headers), len(x.headers)))
	}
	first := len(d.headers)
	for _, h := range x.headers {
		d.headers = append(d.headers, backend.Header{Name: h.Name, Value: d.copy(h.Value)})
	}
	if len(d.extras) == cap(d.extras) {
		d.extras = make([]extra, 0, max(2*cap(d.extras), 1))
	}
	d.extras = append(d.extras, extra{headers: d.headers[first:len(d.headers):len(d.headers)], time: x.time})
	return &d.extras[len(d.extras)-1]
}

// copy copies p into the arena, because p belongs to the caller. When a chunk is full, copy forgets the chunk and allocates another;
// the records in the full chunk keep the chunk alive.
//
// The capacity of the result ends with p, so that nobody can append into the next record.
func (d *batchData) copy(p []byte) []byte {
	if cap(d.arena)-len(d.arena) < len(p) {
		d.addChunk(len(p))
	}
	first := len(d.arena)
	d.arena = append(d.arena, p...)
	d.copied += len(p)
	return d.arena[first:len(d.arena):len(d.arena)]
}

// addChunk begins a chunk that holds at least n bytes. Chunks double, but a chunk is not larger than what the batch may still
// hold: with records of mixed sizes, nearly every second batch is a little larger than the batch before, and would otherwise
// take three times its bytes.
func (d *batchData) addChunk(n int) {
	if cap(d.arena) > cap(d.largest) {
		d.largest = d.arena
	}
	d.arena = make([]byte, 0, max(min(2*cap(d.arena), d.bound-d.copied), n, firstChunk))
}

// decide records the decision on a run of records. Runs are decided in order. decide returns true when the run held the last
// undecided record of the batch. The engine's lock must be held.
func (d *batchData) decide(s span) bool {
	d.latch.spans = append(d.latch.spans, s)
	d.undecided -= s.n
	return d.undecided == 0
}
