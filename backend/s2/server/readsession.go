package server

import (
	"encoding/binary"
	"io"
	"net/http"
	"time"
)

// An emitter writes what a session read yields, in the form that was asked for.
type emitter interface {
	batch(rd *reading, tail *position) error // rd.b
	beat(rd *reading) error                  // nothing but rd.tail
}

// run takes a read to its end: first through what is stored, then, if the read follows, with what is appended. nil is a clean
// end.
//
// Before the read reaches the tail, its batches say nothing of the tail. From the tail on, every batch names the tail, and a
// heartbeat, which is a batch without records, says that the session is alive.
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
			continue // there may be more
		case !rd.follow || q.wait != nil && *q.wait == 0:
			return nil
		}
		now := time.Now()
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

// readSession streams batches as frames.
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

// orEOF names a clean end io.EOF, as endFrames expects it.
func orEOF(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// A frameEmitter writes batches as frames. Its buffers are used again for every frame.
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

// batch sends one frame. A batch that needs no compression, and that no fault changes, is written piece by piece from where it
// is stored. So a reader costs no copy of what it reads.
func (e *frameEmitter) batch(rd *reading, tail *position) error {
	x := e.x
	trailer := e.tail[:0]
	if tail != nil {
		trailer = appendTail(trailer, *tail)
	}
	fault := x.srv.strike(x.op, x.stream, Replying)
	if err := x.suffer(fault); err != nil {
		return err
	}
	size := rd.b.size + len(trailer)
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
		return errAbort // nobody is left to read it
	}
	return nil
}

// endFrames writes out and ends an answer in frames: cleanly if why is io.EOF, with a terminal frame if why is an error of the
// API. Any other error breaks the connection, because the client is gone or must not be told more.
func (x *exchange) endFrames(out []byte, why error) error {
	switch {
	case why == errAbort:
		return errAbort
	case why == io.EOF, why == errEnd:
	default:
		e, ok := why.(*apiError)
		if !ok {
			return errAbort // the client went away
		}
		out = appendTerminal(out, e)
	}
	if err := x.write(out); err != nil {
		return err
	}
	return errEnd
}
