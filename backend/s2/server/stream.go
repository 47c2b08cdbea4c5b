package server

import (
	"bytes"
	"math"
	"net/http"
	"sort"
	"sync"
	"time"
)

// A stream is the log and its conditions.
//
// A batch gets its place under one lock: there the fencing token and the expected position are checked, and seq numbers and
// timestamps are given. The batch becomes durable later, without the lock. So a stream has two ends: next is behind the last
// batch that has a place, tail is behind the last batch that is durable. Writers are checked against next, readers see tail.
// What is said of next to a client must be durable first: see accept.
type stream struct {
	basin, name string
	id          uint64
	meter       *meter // of its basin
	createdAt   time.Time
	cipher      string
	request     string // what created it, when that had a token

	mu        sync.Mutex
	cfg       streamConfig // resolved
	deletedAt time.Time
	next      position      // behind the last batch that has a place, durable or not
	fence     string        // the fencing token as of next
	trimTo    uint64        // the first seq to keep, as a trim has asked; the records go at trimAt
	trimAt    int64         // Unix milliseconds
	head      uint64        // the first seq that is kept
	chunks    []chunk       // durable, from head on
	last      *link         // the last durable batch
	tail      position      // behind the last durable batch
	changed   chan struct{} // made by the first reader that waits, closed by the next change
	scratch   []byte        // where encode writes
	spare     []byte        // the memory of a chunk that Retain has dropped, for the next scratch
	read      bool          // somebody has read, and may hold on to the memory of chunks for as long as a connection takes
	lastWrite time.Time
	keyHash   [32]byte // of the encryption key, once one was used
	bytes     int64    // metered, of chunks
	retained  int      // of data in chunks
	seen      map[uint64]struct{}
}

func newStream(b *basin, name string, id uint64, createdAt time.Time) *stream {
	return &stream{basin: b.name, name: name, id: id, createdAt: createdAt, meter: b.meter, last: &link{}}
}

// A link is one durable batch in the list of all that came since. A reader that follows holds the link of the batch it has read
// last, and finds the next batches through it. So it receives them even if a trim or retention removes them from the log
// meanwhile, as S2 promises. A link that nobody holds is garbage collected.
type link struct {
	chunk
	next *link
}

func seqMismatch(want uint64) error {
	return &apiError{status: http.StatusPreconditionFailed, code: "seq_num_mismatch", body: map[string]uint64{"seq_num_mismatch": want}}
}

func tokenMismatch(token string) error {
	return &apiError{status: http.StatusPreconditionFailed, code: "fencing_token_mismatch", body: map[string]string{"fencing_token_mismatch": token}}
}

func beyondTail(tail position) error {
	return &apiError{status: http.StatusRequestedRangeNotSatisfiable, code: "range", body: map[string]position{"tail": tail}}
}

// accept checks in against the stream and gives it its place. tell is told when in is durable or has failed. tell may be called
// before accept returns, and with the lock held.
//
// A refusal may rest on batches that have a place and are not durable yet. accept returns such a refusal only when these
// batches are durable, because the client may look for them at the tail then. If they cannot be stored, the refusal was wrong,
// and accept returns that failure instead.
func (s *stream) accept(srv *Server, in *input, tell func(ack, error)) error {
	refusal := s.place(srv, in, tell)
	if refusal == nil {
		return nil
	}
	if err := srv.waitDurable(); err != nil {
		return err
	}
	return refusal
}

// place is accept without the wait behind a refusal.
//
// The queue of the store has the order in which batches got their places, because the lock is held when a batch is queued. So
// publish is called in that order too, and if one batch fails, the store fails all batches behind it: the log has no hole.
func (s *stream) place(srv *Server, in *input, tell func(ack, error)) error {
	now := srv.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.deletedAt.IsZero() {
		return streamDeleting()
	}
	if in.hasToken && string(in.token) != s.fence {
		return tokenMismatch(s.fence)
	}
	if in.hasMatch && in.match != s.next.SeqNum {
		return seqMismatch(s.next.SeqNum)
	}
	c := chunk{first: s.next.SeqNum, records: len(in.recs), metered: in.metered, arrived: now.UnixMilli()}
	lastTS, err := s.encode(in, &c)
	if err != nil {
		return err
	}
	if s.spare != nil && len(s.scratch) >= cap(s.scratch)*3/4 {
		c.data, s.scratch, s.spare = s.scratch, s.spare[:0], nil
	} else {
		c.data = bytes.Clone(s.scratch)
	}
	if cap(s.scratch) > 4*maxFrame {
		s.scratch = nil
	}
	s.next = position{c.end(), lastTS}
	s.lastWrite = now
	s.obey(srv, in, c.first, now)
	srv.count(s, in, &c, now)
	a := ack{Start: position{c.first, c.firstTS}, End: s.next}
	if srv.store == nil {
		s.publish(srv, c)
		a.Tail = s.tail
		tell(a, nil)
		return nil
	}
	srv.store.append(s, c, func(err error) {
		s.mu.Lock()
		if err == nil {
			s.publish(srv, c)
			a.Tail = s.tail
		}
		s.mu.Unlock()
		tell(a, err)
	})
	return nil
}

// encode writes the records of in to s.scratch with their final numbers and times. The lock is held. Times never fall: a record
// whose time is earlier than that of the record before it gets the time of the record before it. A time in the future is cut to
// the time of arrival, unless the stream is configured as uncapped.
func (s *stream) encode(in *input, c *chunk) (lastTS uint64, err error) {
	arrival := uint64(max(c.arrived, 0))
	mode, uncapped := s.cfg.timestamping()
	if mode == "client-require" {
		for i := range in.recs {
			if !in.recs[i].hasTS {
				return 0, invalid("record timestamp was required but was missing")
			}
		}
	}
	s.scratch = s.scratch[:0]
	lastTS = s.next.Timestamp
	for i := range in.recs {
		r := &in.recs[i]
		ts := arrival
		if r.hasTS && mode != "arrival" {
			ts = r.ts
			if !uncapped {
				ts = min(ts, arrival)
			}
		}
		lastTS = max(lastTS, ts)
		if i == 0 {
			c.firstTS = lastTS
		}
		s.scratch = appendSequenced(s.scratch, r, in.headers[r.h0:r.h1], c.first+uint64(i), lastTS)
	}
	c.lastTS = lastTS
	return lastTS, nil
}

// obey carries out the command records of a batch that has got its place. The lock is held. A fence applies to the next batch at
// once. A trim takes effect after a delay, and it may trim its own record but nothing behind it.
func (s *stream) obey(srv *Server, in *input, first uint64, now time.Time) {
	if len(in.headers) == 0 {
		return
	}
	for i := range in.recs {
		r := &in.recs[i]
		switch cmd, _ := in.command(i); cmd {
		case fence:
			s.fence = string(r.body)
		case trim:
			if to := min(trimPoint(r.body), first+uint64(i)+1); to > s.trimTo {
				s.trimTo = to
				s.trimAt = now.Add(srv.cfg.TrimDelay).UnixMilli()
			}
		}
	}
}

// publish makes c visible. The lock is held. Batches come in the order in which they got their places.
func (s *stream) publish(srv *Server, c chunk) {
	l := &link{chunk: c}
	s.last.next = l
	s.last = l
	s.tail = position{c.end(), c.lastTS}
	if srv.store != nil {
		c.data = nil // readers of the log load it from the file; only followers take it from the link
	}
	s.chunks = append(s.chunks, c)
	s.bytes += int64(c.metered)
	s.retained += len(c.data)
	for srv.cfg.Retain > 0 && s.retained > srv.cfg.Retain && len(s.chunks) > 1 {
		if !s.read {
			s.spare = s.chunks[0].data
		}
		s.dropTo(s.chunks[1].first)
	}
	s.wake()
}

// wake wakes the readers that wait for a change. The lock is held.
func (s *stream) wake() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// sweep removes the records that a trim or the retention age has made due for removal. The lock is held. There is no goroutine
// that sweeps: every reader sweeps before it looks, so it sees the stream as if it had been swept in time.
func (s *stream) sweep(srv *Server, now time.Time) {
	ms := now.UnixMilli()
	to := s.head
	if s.trimTo > to && ms >= s.trimAt {
		to = min(s.trimTo, s.tail.SeqNum)
	}
	if age := s.cfg.retention(); age > 0 {
		for i := range s.chunks {
			if s.chunks[i].arrived > ms-age.Milliseconds() {
				break
			}
			to = max(to, s.chunks[i].end())
		}
	}
	if to > s.head {
		s.dropTo(to)
		if srv.store != nil {
			srv.store.trim(s, to)
		}
	}
}

// dropTo removes the records below to. A chunk that lies below to only in part stays whole, and head says where its readers begin.
func (s *stream) dropTo(to uint64) {
	i := 0
	for ; i < len(s.chunks) && s.chunks[i].end() <= to; i++ {
		s.bytes -= int64(s.chunks[i].metered)
		s.retained -= len(s.chunks[i].data)
	}
	s.head = to
	clear(s.chunks[:i])
	s.chunks = s.chunks[i:]
}

// emptyFor reports whether delete-on-empty is due at now: no record is kept, and for the configured time nobody has written.
func (s *stream) emptyFor(now time.Time) bool {
	min := s.cfg.minAge()
	if min == 0 || s.head < s.tail.SeqNum || !s.deletedAt.IsZero() {
		return false
	}
	since := s.createdAt
	if s.lastWrite.After(since) {
		since = s.lastWrite
	}
	return now.Sub(since) > s.cfg.retention()+min+600*time.Second
}

// A cursor is where a reader is: at a seq of the log while it reads what is stored, behind a link once it follows.
type cursor struct {
	seq  uint64
	link *link
}

// ahead returns the chunks from the cursor on, enough for one batch. At the tail it returns no chunks and a channel that is closed
// by the next change. When the cursor reaches the tail, it becomes a follower. That happens under the same lock as the look at
// the tail; otherwise a batch that is published in between would be missed.
func (s *stream) ahead(srv *Server, c *cursor, dst []chunk) ([]chunk, position, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.deletedAt.IsZero() {
		return nil, s.tail, nil, streamDeleting()
	}
	records, metered := 0, 0
	add := func(ch chunk) bool {
		dst = append(dst, ch)
		records += ch.records
		metered += ch.metered
		return records < maxRecords && metered < maxMetered
	}
	if c.link == nil {
		s.sweep(srv, srv.now())
		c.seq = max(c.seq, s.head)
		i := sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i].end() > c.seq })
		if i < len(s.chunks) && s.chunks[i].first < c.seq {
			// Only the end of this chunk is read, so its own counts would make the batch too small.
			dst = append(dst, s.chunks[i])
			i++
		}
		for ; i < len(s.chunks) && add(s.chunks[i]); i++ {
		}
		if len(dst) > 0 {
			return dst, s.tail, nil, nil
		}
		c.link = s.last
	}
	for l := c.link; l.next != nil; l = l.next {
		if !add(l.next.chunk) {
			break
		}
	}
	if len(dst) > 0 {
		return dst, s.tail, nil, nil
	}
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return nil, s.tail, s.changed, nil
}

// advance moves the cursor to seq. A follower moves to the last link that lies wholly below seq.
func (c *cursor) advance(s *stream, seq uint64) {
	c.seq = seq
	if c.link == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for c.link.next != nil && c.link.next.end() <= seq {
		c.link = c.link.next
	}
}

// seqAt returns the first seq whose record has a time not before ts. If no record is that late, it returns the tail, and at is
// false.
func (s *stream) seqAt(srv *Server, ts uint64) (seq uint64, at bool, err error) {
	s.mu.Lock()
	s.sweep(srv, srv.now())
	i := sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i].lastTS >= ts })
	if i == len(s.chunks) {
		defer s.mu.Unlock()
		return s.tail.SeqNum, false, nil
	}
	c, head := s.chunks[i], s.head
	s.mu.Unlock()
	if err := srv.load(s, &c); err != nil {
		return 0, false, err
	}
	seq, err = c.firstAt(ts, head)
	return seq, true, err
}

// position returns the tail of a stream that is not deleted.
func (s *stream) position() (position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.deletedAt.IsZero() {
		return position{}, streamDeleting()
	}
	return s.tail, nil
}

// beginRead returns the tail. From then on no memory of a chunk is used again, because the reader may hold on to it.
func (s *stream) beginRead() (position, error) {
	s.mu.Lock()
	s.read = true
	s.mu.Unlock()
	return s.position()
}

// remove begins the deletion. All records go at once and for good, and readers that follow end.
func (s *stream) remove(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deletedAt.IsZero() {
		s.deletedAt = now
		s.chunks, s.bytes, s.retained = nil, 0, 0
		s.wake()
	}
}

const forever = uint64(math.MaxUint64)
