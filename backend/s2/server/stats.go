package server

import (
	"hash/maphash"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/internal/calls"
)

// A Call is a kind of call and how the call ended.
type Call = calls.Call

// Stats is what a server has counted since New.
type Stats struct {
	Calls    map[Call]int64 // requests that have ended
	Open     int64          // requests that have not ended: sessions, and readers that wait
	Requests int64          // that named an endpoint

	Sessions   int64 // append and read sessions that began
	Batches    int64 // stored
	Records    int64 // stored
	Bytes      int64 // metered, stored
	ReadBytes  int64 // metered, read by clients
	Acks       int64 // written to append sessions
	Faults     int64 // injected faults that struck
	Duplicates int64 // stored batches that equal an earlier batch of their stream, if the Config has CountDuplicates

	Streams int // that there are now; a deleted stream counts until it is removed
}

// counters are atomic and not guarded by a lock, because every batch and every frame counts: a common lock would make all
// streams wait for one another.
type counters struct {
	requests, sessions, batches, records, bytes, readBytes, acks, duplicates atomic.Int64
}

// Stats returns the counts so far. The counters are read one after another, so under load they may be of slightly
// different moments.
func (s *Server) Stats() Stats {
	c := &s.stats
	out := Stats{
		Requests: c.requests.Load(), Sessions: c.sessions.Load(), Batches: c.batches.Load(), Records: c.records.Load(),
		Bytes: c.bytes.Load(), ReadBytes: c.readBytes.Load(), Acks: c.acks.Load(), Faults: s.faults.Struck(),
		Duplicates: c.duplicates.Load(),
	}
	out.Calls, out.Open = s.calls.Counts()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range s.catalog.basins {
		out.Streams += len(b.streams)
	}
	return out
}

var seed = maphash.MakeSeed()

// countLocked counts a batch that has got its place. The lock of the stream is held, and guards seen. The hash is made
// here and not when the batch is durable, because in belongs to the request and is used again by then. Two different
// batches with one hash of 64 bits are so unlikely that tests take the count for exact.
func (s *Server) countLocked(st *stream, in *input, c *chunk, now time.Time) {
	s.stats.batches.Add(1)
	s.stats.records.Add(int64(c.records))
	s.stats.bytes.Add(int64(c.metered))
	st.meter.add(now, func(m *minute) { m.appends++; m.appended += uint64(c.metered) })
	if !s.cfg.CountDuplicates {
		return
	}
	var h maphash.Hash
	h.SetSeed(seed)
	// Each piece goes in behind its length. Without the lengths, the header a:bc would have the hash of ab:c. The hash
	// leaves out timestamps and conditions: a client that sends a batch again may send it with others.
	piece := func(b []byte) {
		maphash.WriteComparable(&h, len(b))
		_, _ = h.Write(b) // never fails
	}
	for i := range in.recs {
		r := &in.recs[i]
		maphash.WriteComparable(&h, r.h1-r.h0)
		for _, hd := range in.headers[r.h0:r.h1] {
			piece(hd.name)
			piece(hd.value)
		}
		piece(r.body)
	}
	sum := h.Sum64()
	if _, twice := st.seen[sum]; twice {
		s.stats.duplicates.Add(1)
		return
	}
	if st.seen == nil {
		st.seen = map[uint64]struct{}{}
	}
	st.seen[sum] = struct{}{}
}

// countRead counts a batch of a read.
func (s *Server) countRead(st *stream, op Op, b *batch) {
	s.stats.readBytes.Add(int64(b.metered))
	st.meter.add(s.now(), func(m *minute) {
		m.read += uint64(b.metered)
		// S2 counts the operations of unary reads and of sessions apart.
		if op == UnaryRead {
			m.unaryReads++
		} else {
			m.sessionReads++
		}
	})
}
