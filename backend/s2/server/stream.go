package server

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/http"
	"sort"
	"sync"
	"time"
)

// A stream is a log of records, with the conditions that writers must meet.
//
// place gives a batch its place under mu: place checks the fencing token and the expected position, and gives seq
// numbers and timestamps. The batch becomes durable later, without mu, because the disk is slow and other writers must
// not wait for the disk. So a stream has two ends: next is behind the last batch that has a place, and tail is behind
// the last batch that is durable. The server checks the conditions of writers against next, and shows tail to readers.
// What the server tells a client about next must be durable first: see append.
//
// Lock order: Server.mu before stream.mu. The lock of the store's queue is taken last.
type stream struct {
	basin, name   string
	id            uint64
	meter         *meter // of the basin
	createdAt     time.Time
	cipher        string
	createRequest string // the requestID of the call that created the stream, "" if the call had no request token

	mu        sync.Mutex
	cfg       streamConfig // resolved: no field is nil
	deletedAt time.Time
	next      position // behind the last batch that has a place, whether or not the batch is durable
	fence     string   // the fencing token that the batch at next must have
	trimTo    uint64   // the first seq that the last trim keeps; the trim takes effect at trimAt
	trimAt    int64    // Unix milliseconds
	head      uint64   // the first seq that the stream keeps
	chunks    []chunk  // the durable batches from head on
	last      *link    // the last durable batch
	tail      position // behind the last durable batch
	followers map[*cursor]struct{}
	changed   chan struct{} // the first reader that waits makes the channel; the next change closes the channel
	scratch   []byte        // the memory that encodeLocked writes to
	spare     []byte        // the memory of a chunk that Retain has dropped; becomes the next scratch
	wasRead   bool          // a reader has existed; a reader may still be sending the memory of a chunk
	lastWrite time.Time
	key       keyHash             // of the batches; zero before the first batch, and on a plain stream
	bytes     int64               // the metered size of chunks
	retained  int                 // the bytes of data in chunks
	seen      map[uint64]struct{} // the hashes of all batches, if the Config has CountDuplicates
}

func newStream(b *basin, name string, id uint64, createdAt time.Time) *stream {
	return &stream{basin: b.name, name: name, id: id, createdAt: createdAt, meter: b.meter, last: &link{}}
}

// A link is a durable batch in a linked list of batches. A following reader holds the link of its last batch, and finds
// later batches through this link. Therefore a following reader receives every batch, even if a trim or retention
// meanwhile removes the batch from the log; S2 promises this. When no reader and no stream holds a link any more, the
// garbage collector frees the link. A reader holds maxBehind bytes at most: see publishLocked.
type link struct {
	chunk
	next *link
}

// The bodies of 412 and 416 have no code, only the value that the client needs to go on. The value is exact: a client
// decodes it as 64 bits, and a rounded one would send it to another place of the stream.
func seqMismatch(want uint64) error {
	return &apiError{status: http.StatusPreconditionFailed, code: "seq_num_mismatch", body: map[string]uint64{"seq_num_mismatch": want}}
}

func tokenMismatch(token string) error {
	return &apiError{status: http.StatusPreconditionFailed, code: "fencing_token_mismatch", body: map[string]string{"fencing_token_mismatch": token}}
}

func beyondTail(tail position) error {
	return &apiError{status: http.StatusRequestedRangeNotSatisfiable, code: "range", body: map[string]position{"tail": tail}}
}

// append checks in against the conditions of the stream and gives the batch its place. append calls tell when the batch
// is durable or has failed. tell may be called before append returns, and with s.mu held: tell must not wait and must
// not use s.
//
// A refusal may depend on batches that have a place but are not durable yet. For example, a seq mismatch names the next
// seq, and a client then looks for the records below this seq. So append returns a refusal only after these batches are
// durable. If these batches cannot be stored, the refusal was wrong, and append returns the failure of the store
// instead.
func (s *stream) append(srv *Server, in *input, tell func(ack, error)) error {
	refusal := s.place(srv, in, tell)
	if refusal == nil {
		return nil
	}
	if err := srv.waitDurable(); err != nil {
		return err
	}
	return refusal
}

// place does the work of append, but returns a refusal without waiting for earlier batches.
//
// place queues the batch at the store while s.mu is held. So the queue has the order of the places, and publishLocked
// is called in this order too. If one batch fails, the store also fails all batches behind it; otherwise the log would
// have a hole.
func (s *stream) place(srv *Server, in *input, tell func(ack, error)) error {
	now := srv.now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.admitLocked(in); err != nil {
		return err
	}
	// arrived is one reading of the clock for the whole batch: retention removes whole chunks, so one time for each
	// chunk is enough.
	c := chunk{first: s.next.SeqNum, records: len(in.recs), metered: in.metered, arrived: now.UnixMilli()}
	// encodeLocked may still refuse the batch, so the batch is encoded before anything of the stream changes.
	lastTS, err := s.encodeLocked(in, &c)
	if err != nil {
		return err
	}
	c.data = s.takeScratchLocked()
	// From here on the batch has its place. Nothing below may fail, or the log would have a hole.
	s.next = position{c.end(), lastTS}
	s.lastWrite = now
	s.key = in.key // before the state is queued below: after a restart the stream must refuse other keys
	s.obeyLocked(srv, in, c.first, now)
	// Counted with the place, and not when it is durable. The counters of a failed store may be too high by the batches
	// of its last round.
	srv.countLocked(s, in, &c, now)
	// Tail is set when the batch is durable. It is at least the end of the batch: other batches may be durable by then
	// too.
	a := ack{Start: position{c.first, c.firstTS}, End: s.next}
	// In memory a batch is durable together with its place, and next and tail move together.
	if srv.store == nil {
		s.publishLocked(srv, c)
		a.Tail = s.tail
		tell(a, nil)
		return nil
	}
	// The committer calls this function from its own goroutine, when the batch is durable or has failed. A failed batch
	// must stay invisible, so we publish only after a success.
	srv.store.append(s, c, func(err error) {
		s.mu.Lock()
		if err == nil {
			s.publishLocked(srv, c)
			a.Tail = s.tail
		}
		s.mu.Unlock()
		tell(a, err)
	})
	return nil
}

// takeScratchLocked returns the encoded batch in scratch, in memory of its own. A batch of nearly the size of scratch
// takes over the memory of scratch, which saves a copy. The exchange needs spare memory for the next scratch. A small
// batch is copied; otherwise a small batch would keep a large, mostly empty buffer alive.
func (s *stream) takeScratchLocked() (data []byte) {
	if s.spare != nil && len(s.scratch) >= cap(s.scratch)*3/4 {
		data, s.scratch, s.spare = s.scratch, s.spare[:0], nil
	} else {
		data = bytes.Clone(s.scratch)
	}
	// One unusually large batch must not make the stream hold a large buffer for ever.
	if cap(s.scratch) > 4*maxFrame {
		s.scratch = nil
	}
	return data
}

// encodeLocked writes the records of in to s.scratch, with their final seq numbers and timestamps. s.mu is held.
// Timestamps never go down: a record earlier than the record before it gets the timestamp of the record before it.
// Reads by time depend on this order, because they search the log with a binary search. A timestamp in the future is
// reduced to the time of arrival, unless the stream is configured as uncapped.
func (s *stream) encodeLocked(in *input, c *chunk) (lastTS uint64, err error) {
	arrival := uint64(max(c.arrived, 0))
	mode, uncapped := s.cfg.timestamping()
	// All records are looked at before the first is encoded, because a batch is refused as a whole.
	if mode == "client-require" {
		for i := range in.recs {
			if !in.recs[i].hasTS {
				return 0, invalid("stream `%s` in basin `%s` requires timestamps, and record %d of the batch has none", s.name, s.basin, i)
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

// obeyLocked carries out the command records of a batch that has got its place. s.mu is held. A fence applies to the
// next batch at once: if a fence waited until it is durable, a batch of the fenced writer could still get a place
// behind the fence. A trim takes effect after a delay. A trim may remove its own record, but no record behind it.
func (s *stream) obeyLocked(srv *Server, in *input, first uint64, now time.Time) {
	if len(in.headers) == 0 {
		return
	}
	for i := range in.recs {
		r := &in.recs[i]
		switch cmd, _ := in.command(i); cmd {
		case fence:
			s.fence = string(r.body)
		case trim:
			if to := min(binary.BigEndian.Uint64(r.body), first+uint64(i)+1); to > s.trimTo {
				s.trimTo = to
				s.trimAt = now.Add(srv.cfg.TrimDelay).UnixMilli()
			}
		}
	}
}

// publishLocked makes c visible to readers. s.mu is held. Batches are published in the order of their places; another
// order would show readers a tail with a hole below it.
func (s *stream) publishLocked(srv *Server, c chunk) {
	// The link keeps the data also where the log does not: see link. The chunk in the log is a copy of c, so clearing
	// its data below does not touch the link.
	l := &link{chunk: c}
	s.last.next = l
	s.last = l
	// A follower whose client does not read would keep everything in memory that is appended meanwhile. Beyond a bound
	// the follower has to read from the log again, where a trim may have removed something. The open-source server does
	// the same with a reader more than 25 batches behind.
	for f := range s.followers {
		if f.behind += len(c.data); f.behind > maxBehind {
			s.unfollowLocked(f)
		}
	}
	s.tail = position{c.end(), c.lastTS}
	if srv.store != nil {
		c.data = nil // frees the memory: log readers load the data from the file, and followers take the data from the link
	}
	s.chunks = append(s.chunks, c)
	s.bytes += int64(c.metered)
	s.retained += len(c.data)
	for srv.cfg.Retain > 0 && s.retained > srv.cfg.Retain && len(s.chunks) > 1 {
		// We use the memory of a dropped chunk again only if no reader has existed. A slow reader may still be sending
		// from this memory.
		if !s.wasRead {
			s.spare = s.chunks[0].data
		}
		s.dropToLocked(s.chunks[1].first)
	}
	s.wakeLocked()
}

// wakeLocked wakes the readers that wait for a change. s.mu is held.
func (s *stream) wakeLocked() {
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// sweepLocked removes the records that a trim or the retention age has made due for removal. s.mu is held. No goroutine
// sweeps in the background. Instead, every reader sweeps before it looks at the stream, so a reader sees the stream as
// if the records had been removed in time.
func (s *stream) sweepLocked(srv *Server, now time.Time) {
	ms := now.UnixMilli()
	to := s.head
	if s.trimTo > to && ms >= s.trimAt {
		// A trim may name records that are not durable yet. A head beyond the tail would make these records disappear
		// for readers.
		to = min(s.trimTo, s.tail.SeqNum)
	}
	if age := s.cfg.retention(); age > 0 {
		for i := range s.chunks {
			// The sweep stops at the first chunk that is young enough. If the clock went back, an older chunk may stand
			// behind: removed alone, the older chunk would leave a hole.
			if s.chunks[i].arrived > ms-age.Milliseconds() {
				break
			}
			to = max(to, s.chunks[i].end())
		}
	}
	// The file follows later, in the queue of the store. Until then only the memory knows the new head. A crash in
	// between brings the records back, and the next sweep removes them again.
	if to > s.head {
		s.dropToLocked(to)
		if srv.store != nil {
			srv.store.trim(s, to)
		}
	}
}

// dropToLocked removes the records below seq to. s.mu is held. If a chunk has records on both sides of to, the whole
// chunk stays, and head says where readers begin.
func (s *stream) dropToLocked(to uint64) {
	i := 0
	for ; i < len(s.chunks) && s.chunks[i].end() <= to; i++ {
		s.bytes -= int64(s.chunks[i].metered)
		s.retained -= len(s.chunks[i].data)
	}
	s.head = to
	clear(s.chunks[:i]) // so that the garbage collector can free the data
	s.chunks = s.chunks[i:]
}

// emptyForLocked reports whether delete-on-empty is due at now: the stream keeps no record, and nobody has written for
// the configured time. s.mu is held. The open-source server of S2 also waits 600 s more than is configured.
func (s *stream) emptyForLocked(now time.Time) bool {
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

// A cursor is the place of a reader. While the reader reads the stored log, seq is the place. After the reader has
// reached the tail, the reader follows, and link is the last batch that it has read. The mu of the stream guards the
// fields of a follower, because an append may end the following: see publishLocked.
type cursor struct {
	seq    uint64
	link   *link
	behind int // the bytes of the batches behind link
}

// followLocked makes the reader at the tail a follower. s.mu is held.
func (s *stream) followLocked(c *cursor) {
	if s.followers == nil {
		s.followers = map[*cursor]struct{}{}
	}
	s.followers[c] = struct{}{}
	c.link, c.behind = s.last, 0
}

// unfollow ends the following. Every read ends with unfollow: the stream would otherwise keep the cursor for ever, and
// the cursor its batches.
func (s *stream) unfollow(c *cursor) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unfollowLocked(c)
}

// unfollowLocked ends the following, and lets the garbage collector free the batches. s.mu is held. The reader goes on
// in the log, at seq.
func (s *stream) unfollowLocked(c *cursor) {
	delete(s.followers, c)
	c.link, c.behind = nil, 0
}

// chunksFrom returns the chunks from the cursor on, about as many as a batch of a read needs. At the tail chunksFrom
// returns no chunks, and a channel that the next change closes. When the cursor reaches the tail, the reader becomes a
// follower, under the same lock as the look at the tail; otherwise the reader would miss a batch published in between.
func (s *stream) chunksFrom(srv *Server, c *cursor, dst []chunk) ([]chunk, position, <-chan struct{}, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.deletedAt.IsZero() {
		return nil, s.tail, nil, streamDeleting(s.basin, s.name)
	}
	// add stops at the size of a batch. More chunks would only be held in memory until the next call.
	records, metered := 0, 0
	add := func(ch chunk) bool {
		dst = append(dst, ch)
		records += ch.records
		metered += ch.metered
		return records < maxRecords && metered < maxMetered
	}
	// A follower does not sweep and does not skip to head, because a follower also receives what was removed.
	if c.link == nil {
		s.sweepLocked(srv, srv.now())
		c.seq = max(c.seq, s.head)
		i := sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i].end() > c.seq })
		if i < len(s.chunks) && s.chunks[i].first < c.seq {
			// The reader needs only the end of this chunk. If we counted the whole chunk against the size of a batch,
			// the batch would be too small.
			dst = append(dst, s.chunks[i])
			i++
		}
		for ; i < len(s.chunks) && add(s.chunks[i]); i++ {
		}
		if len(dst) > 0 {
			return dst, s.tail, nil, nil
		}
		// All stored chunks are behind the reader. From now on the reader follows from the last published batch.
		s.followLocked(c)
	}
	// The links are read under mu, because publishLocked writes next. The chunks behind them never change.
	for l := c.link; l.next != nil; l = l.next {
		if !add(l.next.chunk) {
			break
		}
	}
	if len(dst) > 0 {
		return dst, s.tail, nil, nil
	}
	// All waiting readers share one channel. A single close wakes them all, and a stream without readers makes no
	// channel.
	if s.changed == nil {
		s.changed = make(chan struct{})
	}
	return nil, s.tail, s.changed, nil
}

// advance moves the cursor to seq. The cursor of a follower moves to the last link whose records are all below seq. If
// the cursor moved further, the rest of a chunk that was read only in part would be lost.
func (c *cursor) advance(s *stream, seq uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.seq = seq
	for c.link != nil && c.link.next != nil && c.link.next.end() <= seq {
		c.link = c.link.next
		c.behind -= len(c.link.data)
	}
}

// seqAt returns the first seq whose record has a timestamp of ts or later, and found = true. If no record is that late,
// seqAt returns the tail and found = false. The search is binary over the chunks and then linear in one chunk, because
// timestamps never go down. With another order of timestamps, the search could pass over records.
func (s *stream) seqAt(srv *Server, ts uint64) (seq uint64, found bool, err error) {
	s.mu.Lock()
	s.sweepLocked(srv, srv.now())
	i := sort.Search(len(s.chunks), func(i int) bool { return s.chunks[i].lastTS >= ts })
	if i == len(s.chunks) {
		defer s.mu.Unlock()
		return s.tail.SeqNum, false, nil
	}
	// The chunk is read from the file without s.mu, because appends must not wait for the disk. A chunk never changes,
	// and a copy is safe.
	c, head := s.chunks[i], s.head
	s.mu.Unlock()
	if err := srv.load(s, &c); err != nil {
		return 0, false, err
	}
	seq, err = c.firstAt(ts, head)
	return seq, true, err
}

// liveTail returns the tail, or an error if the stream is deleted. The tail is what checkTail answers: after an ack
// with the end n, the tail is at least n, because a batch is published before its ack is sent.
func (s *stream) liveTail() (position, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.deletedAt.IsZero() {
		return position{}, streamDeleting(s.basin, s.name)
	}
	return s.tail, nil
}

// beginRead returns the tail. From then on the stream never uses the memory of a chunk again, because a reader may send
// from this memory for as long as its connection takes.
func (s *stream) beginRead() (position, error) {
	s.mu.Lock()
	// wasRead is set before the reader sees a chunk. Otherwise an append in between could overwrite memory that the
	// reader sends.
	s.wasRead = true
	s.mu.Unlock()
	return s.liveTail()
}

// beginDeletion marks the stream as deleted. All records are dropped at once and for good. The following readers are
// woken, see the mark, and end. The file is not touched here. The caller queues the mark, and the records stay in the
// file until the name is free again: see streamOfLocked.
func (s *stream) beginDeletion(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.deletedAt.IsZero() {
		s.deletedAt = now
		// Followers may still hold links, but look at deletedAt before the links.
		s.chunks, s.bytes, s.retained = nil, 0, 0
		s.wakeLocked()
	}
}

// forever as a time limit means: no limit.
const forever = uint64(math.MaxUint64)
