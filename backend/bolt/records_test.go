package bolt_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
)

var ctx = context.Background()

func openFile(t *testing.T, path string, opts ...bolt.Option) *bolt.DB {
	t.Helper()
	db, err := bolt.Open(path, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func tempFile(t *testing.T) string { return filepath.Join(t.TempDir(), "streams.db") }

func values(from, to int) (recs []backend.Record) {
	for i := from; i < to; i++ {
		recs = append(recs, backend.Record{Value: fmt.Appendf(nil, "record %d", i)})
	}
	return recs
}

func session(t *testing.T, s backend.Sink) backend.Session {
	t.Helper()
	one, err := s.NewAppender(backend.Format{}).Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { one.Close() })
	return one
}

// appendAll stores each of the batches and waits for it.
func appendAll(t *testing.T, s backend.Sink, batches ...[]backend.Record) {
	t.Helper()
	one := session(t, s)
	for i, b := range batches {
		if err := one.Send(ctx, uint64(i), b); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Recv(ctx); err != nil {
			t.Fatal(err)
		}
	}
}

// readAll reads from a place to the tail.
func readAll(t *testing.T, s backend.Source, from backend.Offset) (recs []backend.Record) {
	t.Helper()
	r, err := s.OpenReader(ctx, from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		b, err := r.Read(ctx)
		if errors.Is(err, io.EOF) {
			return recs
		}
		if err != nil {
			t.Fatal(err)
		}
		recs = append(recs, b.Records...)
		if b.CaughtUp {
			return recs
		}
	}
}

// wantValues checks that recs are the records from, from+1, … of values.
func wantValues(t *testing.T, recs []backend.Record, from, to int) {
	t.Helper()
	if len(recs) != to-from {
		t.Fatalf("%d records, want %d to %d", len(recs), from, to)
	}
	for i, r := range recs {
		n := from + i
		if string(r.Value) != fmt.Sprintf("record %d", n) || number(r.Offset) != fmt.Sprint(n) || number(r.Next) != fmt.Sprint(n+1) {
			t.Fatalf("record %d is %q at %q, next %q", n, r.Value, r.Offset, r.Next)
		}
	}
}

// number is an offset without the incarnation of its stream.
func number(o backend.Offset) string {
	n, _, _ := strings.Cut(string(o), "@")
	return n
}
