package backendtest

import (
	"context"

	"github.com/headrace/headrace/backend"
)

// tailer skips a rule for a store that cannot say how far its tail is.
func (e *env) tailer() backend.Tailer {
	e.Helper()
	e.needSource()
	t, ok := e.Source.(backend.Tailer)
	e.need(ok, "the source is no Tailer")
	return t
}

// tail asks for the tail as seen from a place, and checks that records lie in between.
func (e *env) tail(t backend.Tailer, from backend.Offset, records int) backend.Tail {
	e.Helper()
	var tail backend.Tail
	var err error
	e.within("Tail", func() { tail, err = t.Tail(e.Context(), from) })
	if err != nil {
		e.Fatalf("tail from %q: %v", from, err)
	}
	if more := tail.Records - int64(records); more != 0 && tail.Records != -1 && !(e.h.Hidden && more > 0) {
		e.Errorf("%d records lie between %q and the tail, want %d", tail.Records, from, records)
	}
	if tail.Bytes < -1 || tail.Records == 0 && tail.Bytes > 0 {
		e.Errorf("%d bytes lie between %q and the tail, in %d records", tail.Bytes, from, tail.Records)
	}
	if recs := e.from(tail.Next); len(recs) > 0 {
		e.Errorf("%s behind the tail %q", plural(len(recs), "record", "records"), tail.Next)
	}
	return tail
}

// tailCounts: a Tailer counts what a reader would return, from every place and start.
func tailCounts(e *env) {
	t := e.tailer()
	for _, start := range []backend.Offset{backend.Earliest, backend.Latest} {
		e.tail(t, start, 0)
	}
	all := e.fill(9)
	bytes := int64(0)
	for i := len(all) - 1; i >= 0; i-- {
		e.tail(t, all[i].Next, len(all)-1-i)
		bytes += int64(len(all[i].Value))
		if tail := e.tail(t, all[i].Offset, len(all)-i); tail.Bytes >= 0 && tail.Bytes != bytes {
			e.Errorf("%d bytes from record %d on, want %d", tail.Bytes, i, bytes)
		}
	}
	e.tail(t, backend.Earliest, 9)
	tail := e.tail(t, backend.Latest, 0)
	if e.h.Last {
		e.tail(t, backend.Last(3), 3)
		e.tail(t, backend.Last(30), 9)
	}
	more := e.batches(e.appender(), 3, 3)
	e.write(more...)
	n := len(flat(more))
	e.tail(t, all[5].Next, 3+n)
	e.same("from what was the tail", e.from(tail.Next), flat(more))
}

// tailRefuses: a Tailer refuses what OpenReader refuses. Otherwise a checkpoint of another stream would show a lag.
func tailRefuses(e *env) {
	t := e.tailer()
	refused := func(from backend.Offset) {
		e.Helper()
		var err error
		e.within("Tail", func() { _, err = t.Tail(e.Context(), from) })
		e.wantIs("the tail from "+string(from), err, backend.ErrOutOfRange)
	}
	longer := *e
	longer.Target = e.h.Open(e)
	places := longer.fill(24)
	all := e.fill(8)
	refused("")
	refused("not an offset")
	refused(places[23].Next)
	if e.Trim != nil {
		e.trim(all[4].Offset)
		refused(all[0].Offset)
		e.tail(t, backend.Earliest, 4)
	}
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	e.within("Tail", func() {
		if _, err := t.Tail(ctx, backend.Earliest); err == nil {
			e.Error("Tail succeeded although its context had ended")
		}
	})
}
