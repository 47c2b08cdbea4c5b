package server

import (
	"math"
	"net/url"
	"strconv"
	"time"
)

// read chooses the form of a read by the headers of the request. A GET has no body, and S2's clients still name the
// form of a session in content-type and not in accept.
func (x *exchange) read() handler {
	switch {
	case mediaType(x.r.Header.Get("content-type")) == typeS2S:
		x.op = ReadSession
		return x.readSession
	case x.accepts(func(t string) bool { return t == typeEvent }):
		x.op = EventRead
		return x.readEvents
	}
	x.op = UnaryRead
	return x.readUnary
}

// autoRead also serves checkTail: S2 counts it among the reads that may create a stream.
func autoRead(c *basinConfig) bool { return c.CreateStreamOnRead }

// A query holds the query parameters of a read. A nil field was not given, which is not the same as 0: count=0 reads
// nothing, and no count reads without a limit.
type query struct {
	seq, ts, offset *uint64
	count, bytes    *uint64
	until, wait     *uint64
	clamp           bool
}

// parseQuery reads the parameters of a read. A wrong parameter is refused and not passed over: a read with a mistyped
// limit would otherwise return the whole stream. Numbers are parsed as integers and never as floating point: a seq
// beyond 2^53 would become another one.
func parseQuery(raw string) (q query, err error) {
	v, err := url.ParseQuery(raw)
	if err != nil {
		return q, badRequest("bad_query", "%v", err)
	}
	number := func(key string, bits int) *uint64 {
		if err != nil || !v.Has(key) {
			return nil
		}
		n, e := strconv.ParseUint(v.Get(key), 10, bits)
		if e != nil {
			err = badRequest("bad_query", "%s: `%s` is not a number of %d bits", key, v.Get(key), bits)
			return nil
		}
		return &n
	}
	// The first wrong parameter is the error. Once err is set, number does nothing, and later mistakes do not hide the
	// first.
	q = query{
		seq: number("seq_num", 64), ts: number("timestamp", 64), offset: number("tail_offset", 64),
		count: number("count", 64), bytes: number("bytes", 64), until: number("until", 64), wait: number("wait", 32),
	}
	switch v.Get("clamp") {
	case "", "false":
	case "true":
		q.clamp = true
	default:
		err = badRequest("bad_query", "clamp: `%s` is not a bool", v.Get("clamp"))
	}
	return q, err
}

// check refuses a query that no stream could serve. These checks need no stream, and S2 makes them before it looks one
// up or creates one.
func (q *query) check() error {
	n := 0
	for _, p := range []*uint64{q.seq, q.ts, q.offset} {
		if p != nil {
			n++
		}
	}
	if n > 1 {
		return invalid("only one of seq_num, timestamp and tail_offset can be given")
	}
	if q.ts != nil && q.until != nil && *q.ts >= *q.until {
		return invalid("timestamp must be less than until")
	}
	return nil
}

// follows reports whether the read may wait at the tail: the query gives a time to wait, or gives no limit at all. A
// read with a limit and without a wait ends at the tail even if the limit is not met. Otherwise a client that asks for
// 100 records would wait for ever on a stream of 99.
func (q *query) follows() bool {
	return q.wait != nil && *q.wait > 0 || q.count == nil && q.bytes == nil && q.until == nil
}

// A reading is one read under way, of any form: a unary read, a read session or server-sent events. collect moves the
// reading forward by one batch, and each form sends the batch in its own way.
//
// A reading first takes the records from the log. At the tail the reading begins to follow: see cursor. Only one
// goroutine uses a reading.
//
// The way from the log to the live records is the delicate part. A reader that looked at the log first, and registered
// for new batches afterwards, would miss the batches in between. One that registered first would get them twice. Here
// one look under the lock of the stream decides: either there are chunks, or the reader holds the last link and a
// channel that the next batch closes.
type reading struct {
	x      *exchange
	s      *stream
	at     cursor
	lim    limits
	follow bool
	b      batch
	chunks []chunk
	tail   position        // as of the last call of chunksFrom
	change <-chan struct{} // closed by the next change; nil if the last chunksFrom found chunks
}

// atMost returns the smaller of *p and most, or most if p is nil.
func atMost(p *uint64, most int) int {
	if p == nil {
		return most
	}
	return int(min(*p, uint64(most)))
}

// startRead finds the stream, and the place where the read starts. A unary read gets a single answer, and its limits
// are at most the limits of a batch.
func (x *exchange) startRead(q *query, unary bool) (*reading, error) {
	// The query is checked before the stream is looked up: a wrong query must not create a stream.
	if err := q.check(); err != nil {
		return nil, err
	}
	s, err := x.target("read", autoRead)
	if err != nil {
		return nil, err
	}
	if err := x.checkKey(s); err != nil {
		return nil, err
	}
	rd := &reading{x: x, s: s, follow: q.follows(), lim: limits{records: atMost(q.count, math.MaxInt), metered: atMost(q.bytes, math.MaxInt), until: forever}}
	if unary {
		// A unary read without a wait must answer now. Without any limit, follows would let the read wait at the tail
		// for ever.
		rd.follow = q.wait != nil && *q.wait > 0
		// An answer holds a single batch. A client with larger limits gets the first batch, and asks again behind the
		// batch.
		rd.lim.records, rd.lim.metered = min(rd.lim.records, maxRecords), min(rd.lim.metered, maxMetered)
	}
	if q.until != nil {
		rd.lim.until = *q.until
	}
	return rd, rd.seek(q)
}

// seek sets the place where the read starts. If a read starts at the tail and may not wait there, seek refuses the read
// as out of range. There is one exception: the read starts at a time, the time is not beyond the tail's timestamp, and
// no record is so late. This read succeeds and is empty. The 416 of a read at the tail is S2's: a reader learns the
// tail from its body, and knows the difference between a stream without new records and a stream without records in the
// range.
func (rd *reading) seek(q *query) (err error) {
	// The tail is read once, and every kind of start is measured at the same tail.
	if rd.tail, err = rd.s.beginRead(); err != nil {
		return err
	}
	matchedNothing := false
	switch {
	case q.seq != nil:
		rd.at.seq = *q.seq
		// A client with a place beyond the tail has lost count, or means another stream. With clamp the client accepts
		// the tail instead.
		if *q.seq > rd.tail.SeqNum {
			if !q.clamp {
				return beyondTail(rd.tail)
			}
			rd.at.seq = rd.tail.SeqNum
		}
	// A time beyond the tail's timestamp has no record yet, and the next record may be older than this time. The start
	// cannot be decided now, and the read is out of range.
	case q.ts != nil:
		if *q.ts > rd.tail.Timestamp {
			if !q.clamp {
				return beyondTail(rd.tail)
			}
			rd.at.seq = rd.tail.SeqNum
			break
		}
		var matched bool
		if rd.at.seq, matched, err = rd.s.seqAt(rd.x.srv, *q.ts); err != nil {
			return err
		}
		matchedNothing = !matched
	default:
		rd.at.seq = rd.tail.SeqNum
		if q.offset != nil {
			// An offset larger than the stream means the whole stream. A plain subtraction would wrap around.
			rd.at.seq -= min(*q.offset, rd.tail.SeqNum)
		}
	}
	if rd.at.seq == rd.tail.SeqNum && !rd.follow && !matchedNothing {
		return beyondTail(rd.tail)
	}
	return nil
}

// collect fills rd.b with the next batch. done = true: a limit of the read was met, and the read is over. If done is
// false and the batch is empty, the reader is at the tail. The batch points into the chunks and stays valid until the
// next collect.
func (rd *reading) collect() (done bool, err error) {
	rd.b.reset()
	// A limit of 0, or an earlier batch that met a limit exactly, leaves nothing to read.
	if rd.lim.records == 0 || rd.lim.metered == 0 {
		return true, nil
	}
	// Old chunks would keep the data of batches alive while the read waits at the tail.
	clear(rd.chunks)
	rd.chunks, rd.tail, rd.change, err = rd.s.chunksFrom(rd.x.srv, &rd.at, rd.chunks[:0])
	if err != nil {
		return false, err
	}
	next := rd.at.seq
	for i := range rd.chunks {
		c := &rd.chunks[i]
		// The data is loaded without the lock of the stream, because the disk is slow and appends must not wait for a
		// reader.
		if err := rd.x.srv.load(rd.s, c); err != nil {
			return false, err
		}
		usedUp, limitMet, err := rd.b.take(c, rd.at.seq, rd.lim)
		if err != nil {
			return false, err
		}
		if done = limitMet; !usedUp {
			// The rest of this chunk comes with the next batch. If the batch has no record of the chunk, the place
			// stays.
			if rd.b.records > 0 {
				next = max(next, rd.b.last+1)
			}
			break
		}
		next = c.end()
	}
	// The place moves before the batch is sent. If sending fails, the connection is lost and the read ends, and no
	// record is skipped.
	rd.at.advance(rd.s, next)
	if len(rd.chunks) > 0 && rd.b.records == 0 && !done {
		// A trim has removed all these chunks from the file after chunksFrom returned them. An empty batch would look
		// like the tail, so we try again.
		// The loop ends: the trim has moved the head of the stream, and chunksFrom now begins at the new head.
		return rd.collect()
	}
	// The limits of the query count over all batches of a session.
	rd.lim.records -= rd.b.records
	rd.lim.metered -= rd.b.metered
	// Counted before they are sent: a client that has its records finds them counted.
	rd.x.srv.countRead(rd.s, rd.x.op, &rd.b)
	return done || rd.lim.records == 0 || rd.lim.metered == 0, nil
}

// end takes the reading from the followers of the stream. Every reading must end so: see unfollow.
func (rd *reading) end() { rd.s.unfollow(&rd.at) }

// readUnary answers with the records that are stored, or waits for the first batch. The answer fits into memory as a
// whole, because a unary read has the limits of one batch.
func (x *exchange) readUnary() error {
	q, err := parseQuery(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	f, err := x.format()
	if err != nil {
		return err
	}
	rd, err := x.startRead(&q, true)
	if err != nil {
		return err
	}
	defer rd.end()
	waited, err := rd.firstBatch(&q)
	if err != nil {
		return err
	}
	// The answer names the tail only if the read was at the tail. For a client, a named tail means: caught up.
	var tail *position
	if waited {
		tail = &rd.tail
	}
	if x.accepts(isProto) {
		b := rd.b.appendProto(make([]byte, 0, rd.b.size+32))
		if tail != nil {
			b = appendTail(b, *tail)
		}
		return x.reply("application/protobuf", b)
	}
	b, err := rd.b.appendJSON(nil, f, tail)
	if err != nil {
		return err
	}
	return x.reply(typeJSON, b)
}

// firstBatch fills rd.b with the stored records. If there are none, firstBatch waits for the first batch, for at most
// the time in the query. waited = true means: the read was at the tail, and the answer names the tail.
func (rd *reading) firstBatch(q *query) (waited bool, err error) {
	var deadline <-chan time.Time
	for {
		done, err := rd.collect()
		if err != nil || rd.b.records > 0 || done || !rd.follow {
			return waited, err
		}
		// The deadline begins when the read reaches the tail, and later changes do not move the deadline.
		if !waited {
			waited = true
			// S2 bounds the wait of a unary read too. A session has no such bound.
			t := time.NewTimer(seconds(min(*q.wait, maxWait)))
			defer t.Stop()
			deadline = t.C
		}
		if expired, err := rd.await(deadline, nil); err != nil || expired {
			return waited, err
		}
	}
}

// await waits until the stream changes or beat fires. expired = true means that deadline fired instead. A nil channel
// never fires. A draining server ends a session with 503 in a terminal frame, so the client opens its next session at
// once, where a broken connection would cost it a pause.
func (rd *reading) await(deadline, beat <-chan time.Time) (expired bool, err error) {
	// rd.change comes from the look at the log, under one lock. A later change closes the channel, and no change is
	// missed.
	select {
	case <-rd.change:
		return false, nil
	case <-beat:
		return false, nil
	case <-deadline:
		return true, nil
	case <-rd.x.r.Context().Done():
		return false, errAbort
	// A following reader has no end of its own. Without this case, Shutdown would wait for ever.
	case <-rd.x.srv.closing:
		return false, draining()
	}
}
