package backendtest

import (
	"errors"
	"slices"
	"time"

	"github.com/headrace/headrace/backend"
)

// first opens a reader at a relative start and reads its first batch. The batch comes without waiting for a record, and its Next
// pins the start to a place.
func (e *env) first(from backend.Offset) (backend.Reader, backend.Batch) {
	e.Helper()
	r := e.openReader(from)
	var b backend.Batch
	var err error
	e.within("the first Read after "+string(from), func() { b, err = r.Read(e.Context()) })
	if err != nil {
		e.Fatalf("read after %s: %v", from, err)
	}
	e.checkBatch(b)
	return r, b
}

// startOnEmpty: on an empty stream every start becomes a place without waiting for a record. Otherwise a consumer that reconnects
// would lose the records appended in the meantime.
func startOnEmpty(e *env) {
	e.needSource()
	starts := []backend.Offset{backend.Earliest, backend.Latest}
	if e.h.Last {
		starts = append(starts, backend.Last(3))
	}
	if e.h.AtTime {
		starts = append(starts, backend.AtTime(time.Unix(1, 0)), backend.AtTime(time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)))
	}
	var readers []backend.Reader
	var places []backend.Offset
	for _, start := range starts {
		r, b := e.first(start)
		recs, next := b.Records, b.Next
		if !b.CaughtUp {
			recs, next = e.readTail(r)
		}
		if len(recs) > 0 {
			e.Fatalf("%s from %s of an empty stream", plural(len(recs), "record", "records"), start)
		}
		readers, places = append(readers, r), append(places, next)
	}
	want := e.fill(8)
	for i, start := range starts {
		got, _ := e.readN(readers[i], len(want))
		e.same("by the reader opened at "+string(start), got, want)
		e.close("reader", readers[i])
		e.same("from the place that "+string(start)+" stood for", e.from(places[i]), want)
	}
}

// startAtTail: a reader at the tail says CaughtUp at once, and does not wait for a record first.
func startAtTail(e *env) {
	e.needSource()
	old := e.fill(9)
	r := e.openReader(old[8].Next)
	if recs, _ := e.readTail(r); len(recs) > 0 {
		e.Fatalf("%s from the tail", plural(len(recs), "record", "records"))
	}
	more := e.batches(e.appender(), 3, 3)
	e.write(more...)
	got, _ := e.readN(r, len(flat(more)))
	e.same("appended later", got, flat(more))
}

// latestPinned: Latest is resolved to a place once, with the first batch. A reconnect goes on from the place, even when the reader
// has not seen any record.
func latestPinned(e *env) {
	e.needSource()
	e.fill(9)
	r, b := e.first(backend.Latest)
	if len(b.Records) > 0 {
		e.Fatalf("%s from Latest", plural(len(b.Records), "record", "records"))
	}
	more := e.batches(e.appender(), 4, 3)
	e.write(more...)
	e.same("by a reader that had not seen a record, opened again", e.from(b.Next), flat(more))
	got, _ := e.readN(r, len(flat(more)))
	e.same("by the reader that was there", got, flat(more))
	e.close("reader", r)
	e.same("opened again", e.from(b.Next), flat(more))
}

// startEarliest: Earliest begins with the first record. A consumer without a checkpoint begins there by default.
func startEarliest(e *env) {
	e.needSource()
	all := e.fill(17)
	_, b := e.first(backend.Earliest)
	e.same("from Earliest", append(b.Records, e.from(b.Next)...), all)
}

// startLast: Last(n) begins n records before the end, or with the first record when the stream holds fewer than n.
func startLast(e *env) {
	e.needSource()
	all := e.fill(20)
	if !e.h.Last {
		_, err := e.tryOpenReader(e.Context(), backend.Last(3))
		e.wantIs("open reader at Last", err, backend.ErrUnsupported)
		return
	}
	for _, n := range []int{0, 1, 3, 19, 20, 21, 1000} {
		r, b := e.first(backend.Last(n))
		recs, next := b.Records, b.Next
		if !b.CaughtUp {
			more, tail := e.readTail(r)
			recs, next = append(recs, more...), tail
		}
		e.same("from "+string(backend.Last(n)), recs, all[max(20-n, 0):])
		if at := e.from(next); len(at) > 0 {
			e.Errorf("%s behind what Last(%d) read", plural(len(at), "record", "records"), n)
		}
		e.close("reader", r)
	}
}

// startAtTime: AtTime(t) begins with the first record that is not before t. The rule gives the records times if the store keeps
// them; otherwise the rule uses the times that the store assigned.
func startAtTime(e *env) {
	e.needSource()
	if !e.h.AtTime {
		_, err := e.tryOpenReader(e.Context(), backend.AtTime(time.Unix(1, 0)))
		e.wantIs("open reader at AtTime", err, backend.ErrUnsupported)
		return
	}
	a := e.appender()
	batches := e.batches(a, 6, 3)
	if e.h.Times > 0 {
		t := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Truncate(e.h.Times)
		for i := range batches {
			for j := range batches[i] {
				t = t.Add(time.Duration(e.dice.IntN(3)) * time.Minute.Truncate(e.h.Times)) // some records have the same time
				batches[i][j].Time = t
			}
		}
	}
	e.write(batches...)
	stored := e.stored()
	e.same("stored", stored, flat(batches))
	step := max(e.h.Times, time.Millisecond)
	for i, r := range stored {
		if r.Time.IsZero() {
			e.Fatalf("record %d has no time, and the harness says that AtTime works", i)
		}
		for _, t := range []time.Time{r.Time.Add(-step), r.Time, r.Time.Add(step)} {
			want := slices.IndexFunc(stored, func(r backend.Record) bool { return !r.Time.Before(t) })
			if want < 0 {
				want = len(stored)
			}
			rd, b := e.first(backend.AtTime(t))
			recs := b.Records
			if !b.CaughtUp {
				more, _ := e.readTail(rd)
				recs = append(recs, more...)
			}
			e.same("from "+string(backend.AtTime(t)), recs, stored[want:])
			e.close("reader", rd)
		}
	}
}

// startNowhere: the empty offset is refused. An empty checkpoint that is passed on by mistake must not become a start at the
// beginning or at the tail.
func startNowhere(e *env) {
	e.needSource()
	e.fill(3)
	_, err := e.tryOpenReader(e.Context(), "")
	if err == nil {
		e.Fatal("OpenReader took it for a place")
	}
	if errors.Is(err, backend.ErrTransient) {
		e.Errorf("open reader: %v, as if trying again could help", err)
	}
}

// startUnknown: a start that a backend does not know is refused, and does not become a start at the beginning or at the tail.
func startUnknown(e *env) {
	e.needSource()
	e.fill(3)
	for _, from := range []backend.Offset{"@", "@nowhere", "@last:", "@last:x", "@last:-1", "@time:", "@time:yesterday"} {
		_, err := e.tryOpenReader(e.Context(), from)
		e.wantIs("open reader at "+string(from), err, backend.ErrUnsupported, backend.ErrOutOfRange)
	}
}
