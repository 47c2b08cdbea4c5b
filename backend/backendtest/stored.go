package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/headrace/headrace/backend"
)

// badAck is the error about an ack for a batch that is not in flight.
type badAck struct{ seq, first, last uint64 }

func (b *badAck) Error() string {
	return fmt.Sprintf("recv: ack of batch %d, want one from %d to %d", b.seq, b.first, b.last)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func (e *env) openReader(from backend.Offset) backend.Reader {
	e.Helper()
	r, err := e.tryOpenReader(e.Context(), from)
	if err != nil {
		e.Fatalf("open reader at %q: %v", from, err)
	}
	return r
}

func (e *env) tryOpenReader(ctx context.Context, from backend.Offset) (r backend.Reader, err error) {
	e.Helper()
	e.within("OpenReader", func() { r, err = e.Source.OpenReader(ctx, from) })
	if err == nil {
		e.cleanup(r)
	}
	return r, err
}

func (e *env) tryRead(ctx context.Context, r backend.Reader) (b backend.Batch, err error) {
	e.Helper()
	e.within("Read", func() { b, err = r.Read(ctx) })
	return b, err
}

// read returns the next batch and checks the rules for every batch.
func (e *env) read(r backend.Reader) backend.Batch {
	e.Helper()
	b, err := e.tryRead(e.Context(), r)
	if err != nil {
		e.Fatalf("read: %v", err)
	}
	e.checkBatch(b)
	return b
}

// checkBatch checks that all offsets in the batch are places, because a consumer may resume at each of them.
func (e *env) checkBatch(b backend.Batch) {
	e.Helper()
	if b.Next == "" || b.Next.Relative() {
		e.Errorf("read: a batch of %s with Next %q, which is not a place", plural(len(b.Records), "record", "records"), b.Next)
	}
	for _, r := range b.Records {
		if r.Offset == "" || r.Offset.Relative() || r.Next == "" || r.Next.Relative() {
			e.Errorf("read: a record at %q with Next %q: Offset and Next must both be places", r.Offset, r.Next)
		}
		if r.Offset == r.Next {
			e.Errorf("read: the Next of a record at %q is the record itself", r.Offset)
		}
	}
}

// readTail reads until CaughtUp or the end of the stream.
func (e *env) readTail(r backend.Reader) (recs []backend.Record, next backend.Offset) {
	e.Helper()
	for {
		b, err := e.tryRead(e.Context(), r)
		if errors.Is(err, io.EOF) {
			return recs, next
		}
		if err != nil {
			e.Fatalf("read after %s: %v", plural(len(recs), "record", "records"), err)
		}
		e.checkBatch(b)
		recs, next = append(recs, b.Records...), b.Next
		if b.CaughtUp {
			return recs, next
		}
	}
}

// readN reads until there are at least n records.
func (e *env) readN(r backend.Reader, n int) (recs []backend.Record, next backend.Offset) {
	e.Helper()
	for len(recs) < n {
		b := e.read(r)
		recs, next = append(recs, b.Records...), b.Next
	}
	return recs, next
}

// from reads from a place to the tail with a new reader.
func (e *env) from(at backend.Offset) []backend.Record {
	e.Helper()
	r := e.openReader(at)
	recs, _ := e.readTail(r)
	e.close("reader", r)
	return recs
}

// stored returns the records that are stored.
func (e *env) stored() []backend.Record {
	e.Helper()
	if e.Stored == nil {
		return e.from(backend.Earliest)
	}
	var recs []backend.Record
	var err error
	e.within("Stored", func() { recs, err = e.Stored() })
	if err != nil {
		e.Fatalf("stored: %v", err)
	}
	return recs
}

// same compares values in order, and also headers if the store keeps headers.
func (e *env) same(what string, got, want []backend.Record) {
	e.Helper()
	for i := range min(len(got), len(want)) {
		if !bytes.Equal(got[i].Value, want[i].Value) {
			e.Fatalf("%s: record %d is %s, want %s", what, i, short(got[i].Value), short(want[i].Value))
		}
		if e.h.Headers && !sameHeaders(got[i].Headers, want[i].Headers) {
			e.Fatalf("%s: headers of record %d are %q, want %q", what, i, got[i].Headers, want[i].Headers)
		}
	}
	if len(got) != len(want) {
		e.Fatalf("%s: %s, want %d", what, plural(len(got), "record", "records"), len(want))
	}
}

// wantStored checks that the store holds exactly these batches.
func (e *env) wantStored(want ...[]backend.Record) {
	e.Helper()
	e.same("stored", e.stored(), flat(want))
}

func sameHeaders(a, b backend.Headers) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || !bytes.Equal(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}

func short(v []byte) string {
	if len(v) <= 40 {
		return fmt.Sprintf("%q", v)
	}
	return fmt.Sprintf("%q… (%d bytes)", v[:40], len(v))
}

// wantReplay checks the content of a store that does not recognize a resend. The store must hold every record, and first copies
// must be in order. The content may step back to the beginning of a batch, where a resend began. A step back is only allowed at
// the end of a batch, unless batches may be torn (Torn). With Late, a step back may lead to any record.
func (e *env) wantReplay(batches [][]backend.Record) {
	e.Helper()
	at := make(map[string]int) // the number of a record by its value, because values are distinct
	begins := map[int]bool{}   // the numbers at which a batch begins or all batches end
	n := 0
	for _, b := range batches {
		begins[n] = true
		for _, r := range b {
			at[string(r.Value)] = n
			n++
		}
	}
	begins[n] = true
	next, reached := 0, 0
	for i, r := range e.stored() {
		k, ok := at[string(r.Value)]
		back := ok && k < next && begins[k] && (e.h.Torn || begins[next])
		if e.h.Late {
			next, back = reached, ok && k < reached
		}
		if !ok || k != next && !back {
			e.Fatalf("stored: record %d is %s, number %d of the records sent (sent at all: %v), but number %d was next", i, short(r.Value), k, ok, next)
		}
		next = k + 1
		reached = max(reached, next)
	}
	if reached != n {
		e.Fatalf("stored: the first %d records of %d", reached, n)
	}
}
