package streamlog

import (
	"sort"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
)

// Memory is a Store in the memory of the process. Each batch is kept as a chunk of records, and readers get the records
// without a copy. A chunk never changes after it was added.
type Memory struct {
	board *Board

	mu sync.Mutex // guards the fields below; the lock of board is taken inside mu, never the other way round
	// chunks grows by append, and a trim makes a copy. So a reader may use its slice of chunks after it has released
	// the lock.
	chunks []chunk
}

// A chunk is the records of one Write. A chunk never changes, so readers share its memory.
type chunk struct {
	first uint64 // seq of the first record
	recs  []backend.Record
	bytes int // of all records together
	// maxTime is the latest time of all records up to the end of this chunk, including trimmed records. maxTime never
	// falls from chunk to chunk, so Since can search by bisection. The times of single records may fall, because
	// producers choose them.
	maxTime int64
}

// NewMemory makes an empty Store.
func NewMemory() *Memory {
	return &Memory{board: NewBoard(State{Incarnation: NewIncarnation()})}
}

// Board implements [Store].
func (s *Memory) Board() *Board { return s.board }

// Commit stores w before Commit returns. The records are copied because the caller only lends them. The copy is made
// before the lock is taken, and other goroutines do not wait for the copy.
func (s *Memory) Commit(w *Write) {
	c := clone(w.Records, time.Now().UnixNano())
	// Begin and Done take the lock of an appender. Both are called without the lock of the Store, so the order of the
	// two locks does not matter.
	if w.Begin != nil && !w.Begin() {
		return
	}
	w.Done(s.commitChunk(w, c))
}

// commitChunk adds the records of w, which c holds, and makes all other changes of w.
func (s *Memory) commitChunk(w *Write, c chunk) (first uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.board.State()
	if err := st.Apply(w, len(c.recs)); err != nil {
		return 0, err
	}
	// Apply has moved the tail behind the records of w.
	c.first = st.Tail - uint64(len(c.recs))
	if len(c.recs) > 0 {
		SetOffsets(c.recs, c.first, st.Incarnation)
		if n := len(s.chunks); n > 0 {
			c.maxTime = max(c.maxTime, s.chunks[n-1].maxTime)
		}
		s.chunks = append(s.chunks, c)
	}
	// The board is published with the lock held. Otherwise two commits could publish in the other order, and the tail
	// would go back.
	s.trimLocked(st.Head)
	s.board.Publish(st)
	return c.first, nil
}

// trimLocked removes the chunks that are wholly before head. A chunk that is partly before head stays. Readers do not
// see its trimmed records, because the board shows the head.
func (s *Memory) trimLocked(head uint64) {
	i := 0
	for i < len(s.chunks) && s.chunks[i].first+uint64(len(s.chunks[i].recs)) <= head {
		i++
	}
	if i > 0 {
		// A copy, because readers may hold the old slice, and because the old array would keep the trimmed records in
		// memory.
		s.chunks = append([]chunk(nil), s.chunks[i:]...)
	}
}

// snapshot returns the present chunks. The caller may use them without the lock, because they do not change.
func (s *Memory) snapshot() []chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chunks
}

// shareFrom is the number of records from which Read returns records of a chunk without copying. If a chunk has fewer
// records, Read copies records from several chunks into a new slice. Otherwise a stream that was filled record by
// record would also be read record by record.
const shareFrom = 64

// Read returns records that all readers share. Nobody may write to the slice or to the bytes.
func (s *Memory) Read(seq uint64, limit ReadLimit) (recs []backend.Record, free func(), err error) {
	chunks := s.snapshot()
	i := sort.Search(len(chunks), func(i int) bool { return chunks[i].first > seq }) - 1
	// The board is read after the chunks. If a trim comes in between, the head shows it, and the chunks are only older.
	if i < 0 || seq < s.board.State().Head {
		return nil, nil, nil
	}
	chunks = chunks[i:]
	skip := int(seq - chunks[0].first)
	room := int(min(uint64(limit.Records), limit.Below-seq))
	// Records are shared if the first chunk has enough of them, if the caller wants no more, or if there is no other
	// chunk.
	if n := count(chunks[:1], skip, room, limit.Bytes); n >= shareFrom || n == room || len(chunks) == 1 {
		end := skip + n
		// The capacity ends at end, so an append to the slice makes a copy and does not overwrite the chunk.
		return chunks[0].recs[skip:end:end], nil, nil
	}
	n := count(chunks, skip, room, limit.Bytes)
	out := make([]backend.Record, 0, n)
	for ; len(out) < n; chunks, skip = chunks[1:], 0 {
		recs := chunks[0].recs[skip:]
		out = append(out, recs[:min(len(recs), n-len(out))]...)
	}
	return out, nil, nil
}

// count returns how many records Read returns, after skipping the first skip records: at most room, and at least one,
// even if the first record is too large. Single records are looked at only in the chunk where the byte limit falls.
func count(chunks []chunk, skip, room, bytes int) (n int) {
	for i := range chunks {
		recs := chunks[i].recs[skip:]
		skip = 0
		if bytes -= chunks[i].bytes; bytes < 0 {
			bytes += chunks[i].bytes
			for j := range recs {
				if bytes -= Bytes(&recs[j]); bytes < 0 && n > 0 || n == room {
					return n
				}
				n++
			}
			// All the rest of this chunk did fit: the first chunk was cut at its front, so its full size was too large
			// an estimate.
			continue
		}
		if n += len(recs); n >= room {
			return room
		}
	}
	return n
}

// Since searches the chunks by bisection, and then looks at single records, because the latest time of a chunk may
// belong to a record that was trimmed.
func (s *Memory) Since(t time.Time, head, tail uint64) (uint64, error) {
	chunks := s.snapshot()
	at := func(i int) bool { return !time.Unix(0, chunks[i].maxTime).Before(t) }
	for i := sort.Search(len(chunks), at); i < len(chunks); i++ {
		for j := range chunks[i].recs {
			seq := chunks[i].first + uint64(j)
			if seq >= head && seq < tail && !chunks[i].recs[j].Time.Before(t) {
				return seq, nil
			}
		}
	}
	return tail, nil
}

// clone copies records into new memory with three allocations: for the records, for all bytes, and for all headers.
func clone(recs []backend.Record, now int64) (c chunk) {
	if len(recs) == 0 {
		return c
	}
	headers := 0
	for i := range recs {
		c.bytes += Bytes(&recs[i])
		headers += len(recs[i].Headers)
	}
	c.recs = make([]backend.Record, len(recs))
	bytes := make([]byte, 0, c.bytes)
	list := make(backend.Headers, 0, headers)
	copyBytes := func(b []byte) []byte {
		at := len(bytes)
		bytes = append(bytes, b...)
		return bytes[at:len(bytes):len(bytes)]
	}
	for i := range recs {
		from, r := &recs[i], &c.recs[i]
		ns := Time(from.Time, now)
		if i == 0 || ns > c.maxTime {
			c.maxTime = ns
		}
		r.Time = time.Unix(0, ns).UTC()
		r.Value = copyBytes(from.Value)
		if len(from.Headers) == 0 {
			continue
		}
		at := len(list)
		for _, h := range from.Headers {
			list = append(list, backend.Header{Name: h.Name, Value: copyBytes(h.Value)})
		}
		r.Headers = list[at:len(list):len(list)]
	}
	return c
}
