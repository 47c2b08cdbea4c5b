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
// a heartbeat (a batch without records) tells the client that the session is alive.
func (rd *reading) run(q *query, out emitter) error {
	p := pulse{cfg: &rd.x.srv.cfg, wait: q.wait}
	defer p.stop()
	for {
		done, err := rd.collect()
		if err != nil {
			return err
		}
		if rd.b.records > 0 {
			if err := out.batch(rd, p.shown(&rd.tail)); err != nil {
				return err
			}
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
		if _, err := rd.await(nil, next); err != nil {
			return err
		}
	}
}

// readSession sends batches as frames.
func (x *exchange) readSession() error {
	q, err := parseQuery(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	rd, err := x.startRead(&q, false)
	if err != nil {
		return err
	}
	x.beginFrames()
	out := &frameEmitter{x: x, how: responseCodec(x.r.Header.Values("accept-encoding"))}
	return x.endFrames(nil, orEOF(rd.run(&q, out)))
}

// orEOF returns io.EOF for a nil error, because endFrames expects io.EOF as the mark of a clean end.
func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
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
	rd.b.reset()
	return e.batch(rd, &rd.tail)
}

// batch sends one frame. Without compression and without a fault, batch writes the pieces directly from the stored
// memory. So a reader costs no copy of the records.
func (e *frameEmitter) batch(rd *reading, tail *position) error {
	x := e.x
	trailer := e.tail[:0]
	if tail != nil {
		trailer = appendTail(trailer, *tail)
	}
	fault := x.srv.strike(x.op, x.stream, Replying)
	if err := x.applyFault(fault); err != nil {
		return err
	}
	size := rd.b.size + len(trailer)
	// A client would refuse a larger frame as damaged. The error tells the client which record is too large.
	if size+1 > maxFrame {
		return fail(http.StatusInternalServerError, "other", "record %d does not fit into a frame", rd.b.last)
	}
	if fault.do == doNothing && (e.how == plain || size < minCompressed) {
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
		e.payload = append(rd.b.appendProto(e.payload[:0]), trailer...)
		e.out = fault.alter(x.srv.coder.appendFrame(e.out[:0], e.payload, e.how, 0))
		if err := x.write(e.out); err != nil {
			return err
		}
	}
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

// endFrames writes out, and ends an answer in frames. If why is io.EOF, the answer ends cleanly. If why is an apiError,
// a terminal frame tells the client the error. For any other error endFrames breaks the connection: either the client
// is gone, or the client must not take the answer for complete.
func (x *exchange) endFrames(out []byte, why error) error {
	switch {
	case why == errAbort:
		return errAbort
	case why == io.EOF, why == errEnd:
	default:
		e, ok := why.(*apiError)
		if !ok {
			return errAbort // the connection failed
		}
		out = appendTerminal(out, e)
	}
	if err := x.write(out); err != nil {
		return err
	}
	return errEnd
}
