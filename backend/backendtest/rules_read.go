package backendtest

import (
	"context"

	"github.com/headrace/headrace/backend"
)

// resumeEverywhere: reading from Offset begins with the record, and reading from Next begins with the record after. So a consumer
// can resume anywhere.
func resumeEverywhere(e *env) {
	e.needSource()
	all := e.fill(40)
	seen := make(map[backend.Offset]int)
	for i, r := range all {
		if before, ok := seen[r.Offset]; ok {
			e.Fatalf("records %d and %d are both at %q", before, i, r.Offset)
		}
		seen[r.Offset] = i
		e.same("from Offset "+string(r.Offset), e.from(r.Offset), all[i:])
		e.same("from Next "+string(r.Next), e.from(r.Next), all[i+1:])
	}
	more := e.batches(e.appender(), 5, 3)
	e.write(more...)
	for i, r := range all {
		e.same("later, from Next "+string(r.Next), e.from(r.Next), append(all[i+1:len(all):len(all)], flat(more)...))
	}
}

// resumeAtBatches: reading on at the Next of a batch, or of a record inside a batch, loses and repeats nothing.
func resumeAtBatches(e *env) {
	e.needSource()
	all := e.fill(60)
	e.same("with a reader for each batch", e.walk(len(all), 1, false), all)
	for range 3 {
		e.same("over many readers", e.walk(len(all), 3, true), all)
	}
}

// walk reads a stream with many readers in turn. Each reader reads up to the given number of batches. With within, a reader may
// also be left in the middle of a batch, and the next reader resumes there.
func (e *env) walk(n, batches int, within bool) (got []backend.Record) {
	e.Helper()
	at := backend.Earliest
	for caught := false; !caught && len(got) <= n; {
		r := e.openReader(at)
		for range 1 + e.dice.IntN(batches) {
			b := e.read(r)
			k := len(b.Records)
			leave := within && k > 0 && e.dice.IntN(3) == 0
			if leave {
				k = 1 + e.dice.IntN(k)
				b.Next, b.CaughtUp = b.Records[k-1].Next, false
			}
			got, at, caught = append(got, b.Records[:k]...), b.Next, b.CaughtUp
			if leave || caught {
				break
			}
		}
		e.close("reader", r)
	}
	return got
}

// caughtUp: while nobody writes, CaughtUp comes with the last record, and not before. A consumer with StopAtTail would lose records
// if CaughtUp came early, and would wait for ever if CaughtUp never came.
func caughtUp(e *env) {
	e.needSource()
	all := e.fill(50)
	for _, skip := range []int{0, 1, 30, 49, 50} {
		at := backend.Earliest
		if skip > 0 {
			at = all[skip-1].Next
		}
		r := e.openReader(at)
		n := skip
		for caught := false; !caught; {
			b := e.read(r)
			n += len(b.Records)
			caught = b.CaughtUp
			if caught && n < len(all) {
				e.Fatalf("CaughtUp after %d of %d records", n, len(all))
			}
		}
		if n != len(all) {
			e.Fatalf("%d records, want %d", n, len(all))
		}
		e.close("reader", r)
	}
}

// readFollows: every batch that is appended wakes a reader that waits at the tail.
func readFollows(e *env) {
	e.needSource()
	old := e.fill(3)
	r := e.openReader(backend.Earliest)
	got, _ := e.readTail(r)
	e.same("what was there", got, old)
	a := e.appender()
	s := e.open(a)
	for seq := range uint64(6) {
		b := e.batch(a, 4)
		var got backend.Batch
		var err error
		end, _ := e.begin("Read of what is appended meanwhile", func() { got, err = readUntil(e.Context(), r, len(b)) })
		e.send(s, seq, b)
		e.recv(s, seq)
		if end(); err != nil {
			e.Fatalf("read: %v", err)
		}
		e.same("appended meanwhile", got.Records, b)
	}
}

// readWhileWritten: a reader loses and repeats nothing while the stream is written. Mistakes happen where a reader changes from
// stored records to new records.
func readWhileWritten(e *env) {
	e.needSource()
	a := e.appender()
	batches := e.batches(a, 120, 5)
	want := flat(batches)
	s := e.open(a)
	r := e.openReader(backend.Earliest)
	var got backend.Batch
	var err error
	end, _ := e.begin("Read while it is written", func() { got, err = readUntil(e.Context(), r, len(want)) })
	if _, err := e.pump(s, 0, batches); err != nil {
		e.Fatalf("writing: %v", err)
	}
	if end(); err != nil {
		e.Fatalf("read: %v", err)
	}
	e.same("read while it was written", got.Records, want)
}

// twoReaders: two readers of a Source do not disturb each other.
func twoReaders(e *env) {
	e.needSource()
	all := e.fill(50)
	slow, fast := e.openReader(backend.Earliest), e.openReader(backend.Earliest)
	first := e.read(slow)
	got, _ := e.readN(fast, len(all))
	e.same("by the fast one", got, all)
	e.close("reader", fast)
	rest := first.Records
	if len(rest) < len(all) {
		more, _ := e.readN(slow, len(all)-len(rest))
		rest = append(rest, more...)
	}
	e.same("by the slow one", rest, all)
}

// openReaderContext: the reader outlives the context of OpenReader, for the same reason as in openContext.
func openReaderContext(e *env) {
	e.needSource()
	all := e.fill(30)
	ctx, cancel := context.WithCancel(e.Context())
	r, err := e.tryOpenReader(ctx, backend.Earliest)
	if err != nil {
		e.Fatal(err)
	}
	first := e.read(r)
	cancel()
	e.waitIdle()
	more := e.batches(e.appender(), 2, 3)
	e.write(more...)
	want := append(all, flat(more)...)
	got := first.Records
	if len(got) < len(want) {
		rest, _ := e.readN(r, len(want)-len(got))
		got = append(got, rest...)
	}
	e.same("after the end of the context of OpenReader", got, want)
}

// cancelledOpenReader: after an OpenReader that was cancelled, trying again is safe.
func cancelledOpenReader(e *env) {
	e.needSource()
	all := e.fill(3)
	r, err := e.tryOpenReader(cancelled(e), backend.Earliest)
	if err == nil {
		e.Fatal("it succeeded")
	}
	if r != nil {
		e.Errorf("open reader: a reader and an error: %v", err)
	}
	e.wantRetry("open reader", err)
	e.same("after that", e.from(backend.Earliest), all)
}

// cancelledRead: under a context that has ended, a reader may return records that it holds, and must then return an error.
func cancelledRead(e *env) {
	e.needSource()
	all := e.fill(30)
	r := e.openReader(backend.Earliest)
	first := e.read(r)
	got, at := first.Records, first.Next
	for {
		b, err := e.tryRead(cancelled(e), r)
		if err != nil {
			e.wantRetry("read", err)
			break
		}
		if got, at = append(got, b.Records...), b.Next; len(b.Records) == 0 && b.CaughtUp && len(got) > len(all) {
			break
		}
	}
	e.wantDead(r)
	e.same("with what is read from the last Next", append(got, e.from(at)...), all)
}

// cancelledWaitingRead: a Read that waits returns when its context ends. Records that are appended later must not get lost in the
// old reader.
func cancelledWaitingRead(e *env) {
	e.needSource()
	e.fill(3)
	r := e.openReader(backend.Earliest)
	_, at := e.readTail(r)
	ctx, cancel := context.WithCancel(e.Context())
	defer cancel()
	var got backend.Batch
	var err error
	end, _ := e.begin("Read after its context", func() { got, err = readUntil(ctx, r, 1) })
	cancel()
	end()
	if got.Next != "" { // an empty batch may have moved Next
		at = got.Next
	}
	e.wantRetry("read", err)
	more := e.batch(e.appender(), 3)
	e.write(more)
	e.wantDead(r)
	e.same("from the last Next", e.from(at), more)
}

// wantDead checks that a reader returns errors only, after its first error.
func (e *env) wantDead(r backend.Reader) {
	e.Helper()
	for range 2 {
		if b, err := e.tryRead(e.Context(), r); err == nil {
			e.Fatalf("read after an error: %s", plural(len(b.Records), "record", "records"))
		}
	}
}
