package memory

import (
	"sort"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// store keeps every batch as one chunk of records that never changes once it is there.
type store struct {
	board *streamlog.Board

	mu     sync.Mutex
	chunks []chunk // appended to and cut by copy, so that a slice of it stays good after the lock is released
	meta   map[string][]byte
}

type chunk struct {
	first   uint64
	recs    []backend.Record
	maxTime int64 // of all records up to the end of this chunk, trimmed ones included: it never falls
}

func newStore() *store {
	return &store{board: streamlog.NewBoard(streamlog.State{}), meta: map[string][]byte{}}
}

func (s *store) Board() *streamlog.Board { return s.board }

func (s *store) Commit(w *streamlog.Write) {
	recs, latest := clone(w.Records, time.Now().UnixNano())
	if w.Begin != nil && !w.Begin() {
		return
	}
	w.Done(s.commit(w, recs, latest))
}

func (s *store) commit(w *streamlog.Write, recs []backend.Record, latest int64) (first uint64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.board.State()
	if err := st.Apply(w, len(recs)); err != nil {
		return 0, err
	}
	first = st.Tail - uint64(len(recs))
	if len(recs) > 0 {
		streamlog.SetOffsets(recs, first)
		if n := len(s.chunks); n > 0 {
			latest = max(latest, s.chunks[n-1].maxTime)
		}
		s.chunks = append(s.chunks, chunk{first, recs, latest})
	}
	for _, m := range w.Meta {
		if m.Value == nil {
			delete(s.meta, m.Key)
		} else {
			s.meta[m.Key] = append([]byte{}, m.Value...)
		}
	}
	s.trim(st.Head)
	s.board.Publish(st)
	return first, nil
}

// trim lets go of the chunks that lie wholly before head. A chunk that lies there in part is kept: readers are bounded by
// the head that the board shows.
func (s *store) trim(head uint64) {
	i := 0
	for i < len(s.chunks) && s.chunks[i].first+uint64(len(s.chunks[i].recs)) <= head {
		i++
	}
	if i > 0 {
		s.chunks = append([]chunk(nil), s.chunks[i:]...)
	}
}

// snapshot returns the chunks as they are now. They do not change.
func (s *store) snapshot() []chunk {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.chunks
}

func (s *store) Read(seq uint64, limit streamlog.ReadLimit) ([]backend.Record, error) {
	chunks := s.snapshot()
	i := sort.Search(len(chunks), func(i int) bool { return chunks[i].first > seq }) - 1
	if i < 0 || seq < s.board.State().Head {
		return nil, nil
	}
	// Count first, so that the copy is two allocations whatever the number of chunks.
	n, size := 0, 0
	skip := int(seq - chunks[i].first)
	for c, from := i, skip; c < len(chunks); c, from = c+1, 0 {
		for j := from; j < len(chunks[c].recs); j++ {
			b := streamlog.Bytes(&chunks[c].recs[j])
			if n > 0 && (n == limit.Records || size+b > limit.Bytes) || seq+uint64(n) >= limit.Below {
				c = len(chunks)
				break
			}
			n++
			size += b
		}
	}
	out := make([]backend.Record, 0, n)
	for from := skip; len(out) < n; i, from = i+1, 0 {
		recs := chunks[i].recs[from:]
		out = append(out, recs[:min(len(recs), n-len(out))]...)
	}
	own(out, size)
	return out, nil
}

func (s *store) Since(t time.Time, head, tail uint64) (uint64, error) {
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

func (s *store) Meta(key string) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if v, ok := s.meta[key]; ok {
		return append([]byte{}, v...), nil
	}
	return nil, nil
}

// clone copies records into memory of their own, in three allocations, and returns their latest time.
func clone(recs []backend.Record, now int64) (out []backend.Record, latest int64) {
	if len(recs) == 0 {
		return nil, 0
	}
	size := 0
	out = make([]backend.Record, len(recs))
	for i := range recs {
		size += streamlog.Bytes(&recs[i])
		ns := streamlog.Time(recs[i].Time, now)
		if i == 0 || ns > latest {
			latest = ns
		}
		out[i] = backend.Record{Value: recs[i].Value, Headers: recs[i].Headers, Time: time.Unix(0, ns).UTC()}
	}
	own(out, size)
	return out, latest
}

// own gives recs bytes and headers of their own: one allocation for all bytes, of which there are at most size, and one
// for all headers.
func own(recs []backend.Record, size int) {
	headers := 0
	for i := range recs {
		headers += len(recs[i].Headers)
	}
	bytes := make([]byte, 0, size)
	list := make(backend.Headers, 0, headers)
	copyBytes := func(b []byte) []byte {
		at := len(bytes)
		bytes = append(bytes, b...)
		return bytes[at:len(bytes):len(bytes)]
	}
	for i := range recs {
		r := &recs[i]
		r.Value = copyBytes(r.Value)
		if len(r.Headers) == 0 {
			r.Headers = nil
			continue
		}
		at := len(list)
		for _, h := range r.Headers {
			list = append(list, backend.Header{Name: h.Name, Value: copyBytes(h.Value)})
		}
		r.Headers = list[at:len(list):len(list)]
	}
}
