package backendtest

import (
	"errors"
	"io"

	"github.com/headrace/headrace/backend"
)

func (e *env) finishStream() {
	e.Helper()
	e.need(e.Finish != nil, "the harness gives no Finish")
	var err error
	e.within("Finish", func() { err = e.Finish() })
	if err != nil {
		e.Fatalf("finish: %v", err)
	}
}

// readEnd reads on until io.EOF, which must follow at once when a batch has said Closed.
func (e *env) readEnd(r backend.Reader) (recs []backend.Record) {
	e.Helper()
	closed := false
	for {
		b, err := e.tryRead(e.Context(), r)
		if err == nil && closed {
			e.Errorf("read: a batch of %s behind one that said Closed", plural(len(b.Records), "record", "records"))
		}
		closed = closed || b.Closed
		if err != nil {
			e.wantIs("read at the end", err, io.EOF)
			if len(b.Records) > 0 {
				e.Errorf("read: %s together with %v", plural(len(b.Records), "record", "records"), err)
			}
			return recs
		}
		recs = append(recs, b.Records...)
	}
}

// endOfStream: readers of a stream that is closed for good get every record, from every place, and then io.EOF.
func endOfStream(e *env) {
	e.needSource()
	e.need(e.Finish != nil, "the harness gives no Finish")
	all := e.fill(20)
	early := e.openReader(backend.Earliest)
	first := e.read(early)
	if first.Closed {
		e.Error("read: Closed before the stream was closed")
	}
	got := first.Records
	e.finishStream()
	e.same("by a reader that was there before", append(got, e.readEnd(early)...), all)
	e.wantDead(early)
	for i, r := range all {
		rd := e.openReader(r.Next)
		e.same("from Next "+string(r.Next), e.readEnd(rd), all[i+1:])
		e.close("reader", rd)
	}
	e.same("from Earliest", e.readEnd(e.openReader(backend.Earliest)), all)
	e.same("from Latest", e.readEnd(e.openReader(backend.Latest)), nil)
	for _, from := range []backend.Offset{backend.Earliest, backend.Latest} {
		e.saysClosed(from)
	}
}

// saysClosed: whoever stops at the tail must learn from the batch that reaches it whether more will ever come.
func (e *env) saysClosed(from backend.Offset) {
	e.Helper()
	r := e.openReader(from)
	for {
		switch b := e.read(r); {
		case b.CaughtUp && !b.Closed:
			e.Errorf("read from %s: a batch reached the end of a closed stream and did not say Closed", from)
			return
		case b.Closed:
			return
		}
	}
}

// endWakesRead: a Read that waits at the tail returns io.EOF when the stream is closed, although no further record comes.
func endWakesRead(e *env) {
	e.needSource()
	e.need(e.Finish != nil, "the harness gives no Finish")
	e.fill(3)
	r := e.openReader(backend.Earliest)
	e.readTail(r)
	var err error
	end, _ := e.begin("Read at the end of the stream", func() { _, err = readUntil(e.Context(), r, 1) })
	e.finishStream()
	end()
	e.wantIs("read", err, io.EOF)
}

// endRefusesAppends: a stream that is closed for good refuses appends. The error must not ask for another try, which would fail
// again.
func endRefusesAppends(e *env) {
	e.need(e.Finish != nil, "the harness gives no Finish")
	a := e.appender()
	s := e.open(a)
	b := e.batches(a, 2, 3)
	e.send(s, 0, b[0])
	e.recv(s, 0)
	e.finishStream()
	e.trySend(e.Context(), s, 1, b[1])
	reason := e.reason(s)
	e.wantIs("recv", reason, backend.ErrStreamClosed)
	if errors.Is(reason, backend.ErrTransient) {
		e.Errorf("recv: %v, as if trying again could help", reason)
	}
	e.close("session", s)
	for first, a := range []backend.Appender{e.appender(), a} { // the new Appender begins with seq 0, the old Appender goes on with seq 1
		if e.h.Exclusive && first > 0 {
			break // the old Appender has lost its place, so the error may be about the place
		}
		s, err := e.tryOpen(e.Context(), a)
		if err == nil {
			e.trySend(e.Context(), s, uint64(first), b[1])
			err = e.reason(s)
		}
		e.wantIs("after the end", err, backend.ErrStreamClosed)
	}
	e.wantStored(b[0])
}
