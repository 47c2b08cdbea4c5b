package server

import (
	"encoding/binary"
	"io"
	"net/http"
	"time"
)

// An emitter writes what a read session collects, in the form that the client has asked for.
type emitter interface {
	batch(rd *reading, tail *position) error // writes rd.b; tail is nil before the read has reached the tail
	beat(rd *reading) error                  // writes a heartbeat with rd.tail
}

// run takes a read to its end: first through the records that are stored, and then, if the read follows, through the
// records that are appended. A nil error is a clean end.
//
// Before the read reaches the tail, its batches do not name the tail. From the tail on, every batch names the tail, and
// a heartbeat (a batch without records) tells the client that the session is alive. The wait of the query begins at the
// last batch with records, or at the tail if there was none. Heartbeats do not move it: with them, a quiet stream would
// hold its readers for ever.
func (rd *reading) run(q *query, out emitter) error {
	p := pulse{cfg: &rd.x.srv.cfg, wait: q.wait}
	defer p.stop()
	for {
		// Every turn collects one batch. Only a turn without records looks at the tail and waits. Therefore a reader
		// behind the tail never waits, however often the stream changes meanwhile.
		done, err := rd.collect()
		if err != nil {
			return err
		}
		if rd.b.records > 0 {
			if err := out.batch(rd, p.shown(&rd.tail)); err != nil {
				return err
			}
			// The clock is read after the write. Read before, a slow client would use up its wait while the client
			// still takes the batch.
			p.sentRecords(time.Now())
		}
		switch {
		case done:
			return nil
		case rd.b.records > 0 || rd.change == nil:
			continue // the log may hold more records
		// The read is at the tail. A read that does not follow, or that may wait for no time, ends here.
		case !rd.follow || q.wait != nil && *q.wait == 0:
			return nil
		}
		now := time.Now()
		// The first heartbeat is due as soon as the read reaches the tail: see beatDue.
		if p.beatDue(now) {
			if err := out.beat(rd); err != nil {
				return err
			}
			p.sentBeat(now)
		}
		next, over := p.next(now)
		if over {
			return nil
		}
		// It does not matter whether a change or the timer ended the wait: the next turn looks at both.
		if _, err := rd.await(nil, next); err != nil {
			return err
		}
	}
}

// readSession sends batches as frames.
func (x *exchange) readSession() error {
	// Everything that can be refused is refused before the status is sent. A client can then read the refusal as an
	// ordinary HTTP error.
	q, err := parseQuery(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	rd, err := x.startRead(&q, false)
	if err != nil {
		return err
	}
	defer rd.end()
	// From here on the status is sent, so every failure must travel in a terminal frame.
	x.begin(typeS2S)
	out := &frameEmitter{x: x, how: responseCodec(x.r.Header.Values("accept-encoding"))}
	return x.endFrames(nil, rd.run(&q, out))
}

// A frameEmitter writes batches as frames. It uses its buffers again for every frame.
type frameEmitter struct {
	x       *exchange
	how     codec
	head    [4]byte
	tail    [32]byte
	out     []byte
	payload []byte
}

func (e *frameEmitter) beat(rd *reading) error {
	return e.batch(rd, &rd.tail) // rd.b is empty at the tail: a heartbeat is a batch without records
}

// batch sends a frame. Without compression and without a fault, batch writes the pieces directly from the stored
// memory, and a reader costs no copy of the records. The pieces belong to the log, and net/http copies them while Write
// runs, so no piece is kept behind the call. beginRead keeps the stream from using their memory again.
func (e *frameEmitter) batch(rd *reading, tail *position) error {
	x := e.x
	// The tail stands behind the records. The order of protobuf fields is free, so the stored pieces leave unchanged in
	// front of the tail.
	trailer := e.tail[:0]
	if tail != nil {
		trailer = appendTail(trailer, *tail)
	}
	// A fault strikes each frame, heartbeats too, so a test can choose the frame by counting.
	fault := x.srv.strike(x.op, x.stream, Replying)
	if err := x.applyFault(fault); err != nil {
		return err
	}
	size := rd.b.size + len(trailer)
	// A client would refuse a larger frame as damaged. The error tells the client which record is too large.
	if size+1 > maxFrame {
		return fail(http.StatusInternalServerError, "other", "record %d of stream `%s` in basin `%s` does not fit into a frame: read the record with a unary call in JSON", rd.b.last, rd.s.name, rd.s.basin)
	}
	if fault.do == doNothing && (e.how == plain || size < minCompressed) {
		// The pieces leave in several writes. net/http gathers small writes in its buffer, and passes large writes on.
		binary.BigEndian.PutUint32(e.head[:], uint32(size+1)<<8)
		if err := x.write(e.head[:]); err != nil {
			return err
		}
		for _, s := range rd.b.segs {
			if err := x.write(s); err != nil {
				return err
			}
		}
		if err := x.write(trailer); err != nil {
			return err
		}
	} else {
		// Compression needs the payload in one piece, and a fault may change any byte of the frame. The stored memory
		// belongs to all readers: only a copy may be changed.
		e.payload = append(rd.b.appendProto(e.payload[:0]), trailer...)
		e.out = fault.alter(x.srv.coder.appendFrame(e.out[:0], e.payload, e.how, 0))
		if err := x.write(e.out); err != nil {
			return err
		}
	}
	// Without the flush the frame would stay in net/http's buffer until more records come, and a reader at the tail
	// would wait for ever.
	x.flush()
	return nil
}

func (x *exchange) write(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	if _, err := x.w.Write(b); err != nil {
		return errAbort // the client is gone
	}
	return nil
}

// endFrames writes out, and ends an answer in frames. If why is nil or io.EOF, the answer ends cleanly. If why is an
// apiError, a terminal frame tells the client the error. Any other error except errAbort is a failure of the storage:
// endFrames logs the error and breaks the connection, because the client must not take the answer for complete.
func (x *exchange) endFrames(out []byte, why error) error {
	switch {
	case why == errAbort:
		return errAbort
	// The end of the response is the only sign of a clean end. S2 has no frame for it.
	case why == nil, why == io.EOF, why == errEnd:
	default:
		e, ok := why.(*apiError)
		if !ok {
			x.report(why)
			return errAbort
		}
		out = appendTerminal(out, e)
	}
	if err := x.write(out); err != nil {
		return err
	}
	return errEnd
}
