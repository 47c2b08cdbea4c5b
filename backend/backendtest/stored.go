package backendtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/headrace/headrace/backend"
)

// badAck is an ack that no batch is waiting for.
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

// read returns a batch that keeps to the rules every batch is under.
func (e *env) read(r backend.Reader) backend.Batch {
	e.Helper()
	b, err := e.tryRead(e.Context(), r)
	if err != nil {
		e.Fatalf("read: %v", err)
	}
	e.checkBatch(b)
	return b
}

func (e *env) checkBatch(b backend.Batch) {
	e.Helper()
	if b.Next == "" || b.Next.Relative() {
		e.Errorf("read: a batch of %s with Next %q, which is no place", plural(len(b.Records), "record", "records"), b.Next)
	}
	for _, r := range b.Records {
		if r.Offset == "" || r.Offset.Relative() || r.Next == "" || r.Next.Relative() {
			e.Errorf("read: a record at %q with Next %q: one is no place", r.Offset, r.Next)
		}
		if r.Offset == r.Next {
			e.Errorf("read: a record at %q goes on at itself", r.Offset)
		}
	}
}

// readTail reads on until CaughtUp or the end of the stream.
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

// readN reads on until there are at least n records.
func (e *env) readN(r backend.Reader, n int) (recs []backend.Record, next backend.Offset) {
	e.Helper()
	for len(recs) < n {
		b := e.read(r)
		recs, next = append(recs, b.Records...), b.Next
	}
	return recs, next
}

// from reads from a place to the tail with a reader of its own.
func (e *env) from(at backend.Offset) []backend.Record {
	e.Helper()
	r := e.openReader(at)
	recs, _ := e.readTail(r)
	e.close("reader", r)
	return recs
}

// stored returns what is stored.
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

// same compares values, in order, and headers where the store keeps them.
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

// wantStored checks that exactly these are stored.
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

// wantReplay checks what a store may hold that does not know a resend: all of it, first copies in order, and now and then
// a step back to the beginning of a batch. Steps back are only from the end of a batch unless batches may be torn.
func (e *env) wantReplay(batches [][]backend.Record) {
	e.Helper()
	at := make(map[string]int) // values are distinct
	begins := map[int]bool{}
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
			e.Fatalf("stored: record %d is %s, number %d of what was sent (sent at all: %v), where %d was next", i, short(r.Value), k, ok, next)
		}
		next = k + 1
		reached = max(reached, next)
	}
	if reached != n {
		e.Fatalf("stored: the first %d records of %d", reached, n)
	}
}
