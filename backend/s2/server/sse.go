package server

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// readEvents sends batches as server-sent events. Browsers and runtimes without HTTP/2 streams read in this form. The
// semantics are those of a read session, because both use the same reading; only the writing differs.
func (x *exchange) readEvents() error {
	q, err := parseQuery(x.r.URL.RawQuery)
	if err != nil {
		return err
	}
	f, err := x.format()
	if err != nil {
		return err
	}
	out := &eventEmitter{x: x, format: f}
	// A browser reconnects by itself with the query of the first request. Only the header tells how far it had come.
	if err := out.resume(x.r.Header.Get("last-event-id"), &q); err != nil {
		return err
	}
	rd, err := x.startRead(&q, false)
	if err != nil {
		return err
	}
	defer rd.end()
	x.begin(typeEvent)
	return out.end(rd.run(&q, out))
}

// An eventEmitter writes batches as server-sent events. The id of an event says how far the read has come: the last
// seq, and how many records and bytes were delivered over all connections. A client that connects again sends the id,
// and the server goes on from there.
//
// The counts are part of the id, because the server keeps nothing of a connection that is gone, and the limits of the
// query count over the whole read.
type eventEmitter struct {
	x       *exchange
	format  format
	records uint64
	bytes   uint64
	out     []byte
}

// resume makes the read go on behind the event with the id. The limits of the read are reduced by what earlier
// connections have delivered. The id replaces the start in the query: a browser repeats the query of the first request
// with every connection, and would otherwise read from the beginning each time.
func (e *eventEmitter) resume(id string, q *query) error {
	if id == "" {
		return nil
	}
	parts := strings.Split(id, ",")
	var n [3]uint64
	if len(parts) != len(n) {
		// A wrong id is refused. If it were passed over, the read would begin again at its first record, and the client
		// would get records twice.
		return badRequest("bad_header", "last-event-id: want seq,count,bytes")
	}
	for i := range n {
		var err error
		if n[i], err = strconv.ParseUint(parts[i], 10, 64); err != nil {
			return badRequest("bad_header", "last-event-id: %v", err)
		}
	}
	behind := n[0]
	if behind < math.MaxUint64 { // MaxUint64 is beyond every tail; one more would overflow to 0
		behind++
	}
	q.seq, q.ts, q.offset = new(behind), nil, nil
	// The counts go on over connections, because the next connection receives nothing but the id of the last event.
	e.records, e.bytes = n[1], n[2]
	for _, l := range []struct{ limit, had *uint64 }{{q.count, &n[1]}, {q.bytes, &n[2]}} {
		if l.limit != nil {
			// The limits are those of the whole read, so what earlier connections have delivered is taken off. A limit
			// that is used up stays 0.
			*l.limit -= min(*l.limit, *l.had)
		}
	}
	return nil
}

// batch sends one event with all records of the batch, in JSON.
func (e *eventEmitter) batch(rd *reading, tail *position) error {
	// The open-source server counts from 0 on each connection, and a read with a count then delivers too much after the
	// second break. Here the counts go on from the id that the client has sent.
	e.records += uint64(rd.b.records)
	e.bytes += uint64(rd.b.metered)
	dst := append(e.out[:0], "event: batch\nid: "...)
	// The id names the last record of the event and the counts behind the event: a client that reconnects with the id
	// goes on exactly there.
	dst = fmt.Appendf(dst, "%d,%d,%d\ndata: ", rd.b.last, e.records, e.bytes)
	dst, err := rd.b.appendJSON(dst, e.format, tail)
	if err != nil {
		return err
	}
	return e.send(append(dst, "\n\n"...))
}

// beat sends a ping. A ping has no id, because the read has not moved. The tail in the ping tells the client that it
// has caught up; the TypeScript client of S2 wants the tail there.
func (e *eventEmitter) beat(rd *reading) error {
	dst := append(e.out[:0], "event: ping\ndata: {\"timestamp\":"...)
	dst = strconv.AppendInt(dst, e.x.srv.now().UnixMilli(), 10)
	dst = rd.tail.appendJSON(append(dst, `,"tail":`...))
	return e.send(append(dst, "}\n\n"...))
}

// send writes one event and flushes it: an event in a buffer is one that a live reader does not see. The faults are
// those of frames, so a test of a client runs over both forms.
func (e *eventEmitter) send(b []byte) error {
	e.out = b
	x := e.x
	fault := x.srv.strike(x.op, x.stream, Replying)
	if err := x.applyFault(fault); err != nil {
		return err
	}
	// Advice is a flag of frames, and an event has no flags.
	if fault.do != doAdvise {
		b = fault.alter(b)
	}
	if err := x.write(b); err != nil {
		return err
	}
	x.flush()
	return nil
}

// end writes the last event, and returns errEnd. If a fault has ended the answer, end writes no last event. Any other
// end of the response, even a regular one, means for a client that the read is not complete.
func (e *eventEmitter) end(why error) error {
	switch {
	case why == nil:
		// A browser reconnects after the end of a response. [DONE] tells the client to stop.
		why = e.x.write([]byte("data: [DONE]\n\n"))
	case why == errAbort, why == errEnd, why == io.EOF:
	default:
		why = e.x.write(fmt.Appendf(nil, "event: error\ndata: %s\n\n", e.x.answerTo(why).json()))
	}
	if why == nil {
		return errEnd
	}
	return why
}
