package backendtest

import (
	"github.com/headrace/headrace/backend"
)

// outOfRange checks that reading from a place fails with ErrOutOfRange. OpenReader or Read may return the error, because a backend
// may have to ask the store first.
func (e *env) outOfRange(from backend.Offset) {
	e.Helper()
	r, err := e.tryOpenReader(e.Context(), from)
	if err == nil {
		var b backend.Batch
		for b, err = e.tryRead(e.Context(), r); err == nil; b, err = e.tryRead(e.Context(), r) {
			if len(b.Records) > 0 || b.CaughtUp {
				e.Errorf("%s from %q, which is not a place of the stream (caught up: %v)", plural(len(b.Records), "record", "records"), from, b.CaughtUp)
				break
			}
		}
		e.close("reader", r)
		if err == nil {
			return
		}
	}
	e.wantIs("from "+string(from), err, backend.ErrOutOfRange)
}

// foreignOffsets: a checkpoint of another backend and a damaged checkpoint are refused. They must not silently become some place in
// this stream.
func foreignOffsets(e *env) {
	e.needSource()
	all := e.fill(5)
	tail := all[4].Next
	foreign := []backend.Offset{
		"not an offset", "\x00\xff", "99999999999999999999999999", "of/another/backend:7", " ", tail + "~", " " + tail,
	}
	for _, from := range append(foreign, e.h.Foreign...) {
		e.outOfRange(from)
	}
}

// beyondTail: a place behind the tail is refused; a reader must not wait until the stream grows so far. The rule takes the places
// from a longer stream of the same backend.
func beyondTail(e *env) {
	e.needSource()
	longer := *e
	longer.Target = e.h.Open(e)
	places := longer.fill(24)
	e.fill(4)
	for _, r := range places[8:] {
		e.outOfRange(r.Offset)
	}
	e.outOfRange(places[23].Next)
}

// trimmedOffsets: a place whose record was trimmed is refused, so that a consumer learns that records are gone. Only the consumer may
// decide to skip to the first record that is left.
func trimmedOffsets(e *env) {
	e.needSource()
	e.need(e.Trim != nil, "the harness gives no Trim")
	all := e.fill(20)
	e.trim(all[10].Offset)
	for _, r := range all[:10] {
		e.outOfRange(r.Offset)
	}
	e.same("from Earliest", e.from(backend.Earliest), all[10:])
	e.same("from the Next of the last one trimmed", e.from(all[9].Next), all[10:])
	e.same("from the middle of the rest", e.from(all[15].Offset), all[15:])

	e.trim(all[19].Next)
	e.outOfRange(all[19].Offset)
	r, first := e.first(backend.Earliest)
	if !first.CaughtUp {
		if rest, _ := e.readTail(r); len(rest) > 0 {
			e.Errorf("%s in a stream that is trimmed to nothing", plural(len(rest), "record", "records"))
		}
	}
	if len(first.Records) > 0 {
		e.Errorf("%s in a stream that is trimmed to nothing", plural(len(first.Records), "record", "records"))
	}
	more := e.batches(e.appender(), 3, 3)
	e.write(more...)
	e.same("from what was the tail", e.from(all[19].Next), flat(more))
	e.same("from what was Earliest", e.from(first.Next), flat(more))
	e.outOfRange(all[0].Offset)
}

func (e *env) trim(before backend.Offset) {
	e.Helper()
	var err error
	e.within("Trim", func() { err = e.Trim(before) })
	if err != nil {
		e.Fatalf("trim: %v", err)
	}
}

// trimmedUnderReader: when records are trimmed, a reader may still return records that it holds, but must not skip any.
func trimmedUnderReader(e *env) {
	e.needSource()
	e.need(e.Trim != nil, "the harness gives no Trim")
	all := e.fill(200)
	r := e.openReader(backend.Earliest)
	got := e.read(r).Records
	for len(got) == 0 {
		got = e.read(r).Records
	}
	e.trim(all[190].Offset)
	for len(got) < len(all) {
		b, err := e.tryRead(e.Context(), r)
		if err != nil {
			e.wantIs("read", err, backend.ErrOutOfRange)
			break
		}
		got = append(got, b.Records...)
		e.same("without a gap", got, all[:min(len(got), len(all))])
	}
}

// missingSource: a stream that does not exist is an error, and is not read as an empty stream.
func missingSource(e *env) {
	e.need(e.MissingSource != nil, "the harness gives no MissingSource")
	_, err := e.MissingSource.OpenReader(e.Context(), backend.Earliest)
	e.wantIs("open reader", err, backend.ErrNotFound)
}
