package server

import (
	"math"
	"net/url"
	"strconv"
	"time"
)

// read picks the form of a read.
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

func autoRead(c *basinConfig) bool { return c.CreateStreamOnRead }

// A query is what a read asks for. Nil is not given.
type query struct {
	seq, ts, offset *uint64
	count, bytes    *uint64
	until, wait     *uint64
	clamp           bool
}

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

// check says what no stream could serve.
func (q *query) check() error {
	n := 0
	for _, p := range []*uint64{q.seq, q.ts, q.offset} {
		if p != nil {
			n++
		}
	}
	if n > 1 {
		return invalid("only one of seq_num, timestamp, or tail_offset can be provided")
	}
	if q.ts != nil && q.until != nil && *q.ts >= *q.until {
		return invalid("start `timestamp` exceeds or equal to `until`")
	}
	return nil
}

// follows reports whether the read may wait at the tail.
func (q *query) follows() bool {
	return q.wait != nil && *q.wait > 0 || q.count == nil && q.bytes == nil && q.until == nil
}

// A reading is one read under way, whatever its form.
type reading struct {
	x      *exchange
	s      *stream
	at     cursor
	lim    limits
	follow bool
	b      batch
	chunks []chunk
	tail   position        // as of the last look
	change <-chan struct{} // of that look, when it found nothing
}

func atMost(p *uint64, most int) int {
	if p == nil {
		return most
	}
	return int(min(*p, uint64(most)))
}

// startRead finds the stream and the place to start at. A unary read is answered once, so its limits are those of one batch.
func (x *exchange) startRead(q *query, unary bool) (*reading, error) {
	if err := q.check(); err != nil {
		return nil, err
	}
	s, err := x.target("read", autoRead)
	if err != nil {
		return nil, err
	}
	if err := x.unlock(s); err != nil {
		return nil, err
	}
	rd := &reading{x: x, s: s, follow: q.follows(), lim: limits{records: atMost(q.count, math.MaxInt), metered: atMost(q.bytes, math.MaxInt), until: forever}}
	if unary {
		rd.follow = q.wait != nil && *q.wait > 0
		rd.lim.records, rd.lim.metered = min(rd.lim.records, maxRecords), min(rd.lim.metered, maxMetered)
	}
	if q.until != nil {
		rd.lim.until = *q.until
	}
	return rd, rd.seek(q)
}

// seek sets the place where the read starts. A read that starts at the tail and may not wait there is out of range. There is one
// exception: a start by time, where the time is not beyond the tail and no record is that late. Such a read is empty.
func (rd *reading) seek(q *query) (err error) {
	if rd.tail, err = rd.s.beginRead(); err != nil {
		return err
	}
	matchedNothing := false
	switch {
	case q.seq != nil:
		rd.at.seq = *q.seq
		if *q.seq > rd.tail.SeqNum {
			if !q.clamp {
				return beyondTail(rd.tail)
			}
			rd.at.seq = rd.tail.SeqNum
		}
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
			rd.at.seq -= min(*q.offset, rd.tail.SeqNum)
		}
	}
	if rd.at.seq == rd.tail.SeqNum && !rd.follow && !matchedNothing {
		return beyondTail(rd.tail)
	}
	return nil
}

// collect fills rd.b with what there is. done says that a limit of the read was met, so the read is over. If the batch is empty
// and the read is not over, the reader is at the tail.
func (rd *reading) collect() (done bool, err error) {
	rd.b.reset()
	if rd.lim.records == 0 || rd.lim.metered == 0 {
		return true, nil
	}
	clear(rd.chunks)
	rd.chunks, rd.tail, rd.change, err = rd.s.ahead(rd.x.srv, &rd.at, rd.chunks[:0])
	if err != nil {
		return false, err
	}
	next := rd.at.seq
	for i := range rd.chunks {
		c := &rd.chunks[i]
		if err := rd.x.srv.load(rd.s, c); err != nil {
			return false, err
		}
		all, over, err := rd.b.take(c, rd.at.seq, rd.lim)
		if err != nil {
			return false, err
		}
		if done = over; !all {
			if rd.b.records > 0 {
				next = max(next, rd.b.last+1)
			}
			break
		}
		next = c.end()
	}
	rd.at.advance(rd.s, next)
	if len(rd.chunks) > 0 && rd.b.records == 0 && !done {
		return rd.collect() // a trim has removed all of it between the look at the stream and the look into the file
	}
	rd.lim.records -= rd.b.records
	rd.lim.metered -= rd.b.metered
	rd.x.srv.countRead(rd.s, rd.x.op, &rd.b)
	return done || rd.lim.records == 0 || rd.lim.metered == 0, nil
}

// readUnary answers with what there is, or waits for the first batch.
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
	waited, err := rd.firstBatch(&q)
	if err != nil {
		return err
	}
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

// firstBatch fills rd.b with what there is, or waits for the first batch as long as the query says. waited is whether it has
// been at the tail; then the answer names the tail.
func (rd *reading) firstBatch(q *query) (waited bool, err error) {
	var deadline <-chan time.Time
	for {
		done, err := rd.collect()
		if err != nil || rd.b.records > 0 || done || !rd.follow {
			return waited, err
		}
		if !waited {
			waited = true
			t := time.NewTimer(seconds(min(*q.wait, maxWait)))
			defer t.Stop()
			deadline = t.C
		}
		if expired, err := rd.await(deadline, nil); err != nil || expired {
			return waited, err
		}
	}
}

// await waits until the stream changes or beat fires. expired is whether the deadline has passed instead.
func (rd *reading) await(deadline, beat <-chan time.Time) (expired bool, err error) {
	select {
	case <-rd.change:
		return false, nil
	case <-beat:
		return false, nil
	case <-deadline:
		return true, nil
	case <-rd.x.r.Context().Done():
		return false, errAbort
	case <-rd.x.srv.closing:
		return false, draining()
	}
}
