package boltlog

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

var ctx = context.Background()

func open(t *testing.T, path string) *DB {
	t.Helper()
	db, err := Open(path, 0o600, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func tempPath(t *testing.T) string { return filepath.Join(t.TempDir(), "streams.db") }

func openSession(t *testing.T, a backend.Appender) backend.Session {
	t.Helper()
	s, err := a.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func one(value string) []backend.Record { return []backend.Record{{Value: []byte(value)}} }

// put sends a batch and returns how it ends.
func put(s backend.Session, seq uint64, value string) error {
	if err := s.Send(ctx, seq, one(value)); err != nil {
		return err
	}
	_, err := s.Recv(ctx)
	return err
}

// stream is the machinery over one stream, as a backend has it.
func stream(db *DB, name string) *streamlog.Log {
	return streamlog.New("test", db.Store(name), backend.Limits{})
}

func stored(t *testing.T, s *streamlog.Log) string {
	t.Helper()
	r, err := s.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := r.Read(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var all []byte
	for _, rec := range b.Records {
		all = append(all, rec.Value...)
	}
	return string(all)
}

// What was queued while a commit was under way shares the next one, whoever sent it.
func TestGroupCommit(t *testing.T) {
	db := open(t, tempPath(t))
	var sessions []backend.Session
	for _, name := range []string{"a", "a", "b", "c"} {
		sessions = append(sessions, openSession(t, stream(db, name).NewAppender(backend.Format{})))
	}
	before, err := db.txID()
	if err != nil {
		t.Fatal(err)
	}
	tx, err := db.Bolt().Begin(true) // as if an fsync were running
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sessions {
		for seq := range uint64(10) {
			if err := s.Send(ctx, seq, one("x")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	for _, s := range sessions {
		for range 10 {
			if _, err := s.Recv(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	after, err := db.txID()
	if err != nil {
		t.Fatal(err)
	}
	if n := after - before; n > 2 {
		t.Fatalf("%d commits for 40 batches, want one under way and one for the rest", n)
	}
	if got := stored(t, stream(db, "a")); len(got) != 20 {
		t.Fatalf("stream a has %d records", len(got))
	}
}

// failing makes the commits of db fail while it is set, after the real one when landed.
type failing struct {
	mu     sync.Mutex
	err    error
	landed bool
}

func (f *failing) set(err error, landed bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err, f.landed = err, landed
}

func (f *failing) commit(tx *bbolt.Tx) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		return tx.Commit()
	}
	if f.landed {
		if err := tx.Commit(); err != nil {
			return err
		}
	} else if err := tx.Rollback(); err != nil {
		return err
	}
	return f.err
}

func TestFailedCommitStoresNothing(t *testing.T) {
	var f failing
	db := open(t, tempPath(t))
	db.commit = f.commit // the queue orders this before its first use
	s := stream(db, "s")
	a := s.NewAppender(backend.Format{})
	first := openSession(t, a)
	if err := put(first, 0, "a"); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("no space")
	f.set(cause, false)
	for range 3 {
		first.Close()
		first = openSession(t, a)
		err := put(first, 1, "b")
		if !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, cause) {
			t.Fatalf("got %v, want transient and the cause", err)
		}
	}
	if got := stored(t, s); got != "a" {
		t.Fatalf("stored %q", got)
	}
	if err := s.Trim(ctx, backend.Latest); !errors.Is(err, cause) {
		t.Fatalf("trim: %v", err)
	}
	if err := db.Delete(ctx, "s"); !errors.Is(err, cause) {
		t.Fatalf("delete: %v", err)
	}
	f.set(nil, false)
	first.Close()
	again := openSession(t, a)
	if err := put(again, 1, "b"); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, s); got != "ab" {
		t.Fatalf("stored %q", got)
	}
}

// The sync of the meta page failed: what was written may be there after a crash, or not.
func TestCommitOfUnknownOutcome(t *testing.T) {
	var f failing
	path := tempPath(t)
	db := open(t, path)
	db.commit = f.commit
	s := stream(db, "s")
	a := s.NewAppender(backend.Format{})
	first := openSession(t, a)
	if err := put(first, 0, "a"); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("input/output error")
	f.set(cause, true)
	err := put(first, 1, "b")
	if !errors.Is(err, backend.ErrIndeterminate) || errors.Is(err, backend.ErrTransient) || !errors.Is(err, cause) {
		t.Fatalf("got %v, want indeterminate and the cause", err)
	}
	if got := stored(t, s); got != "a" {
		t.Fatalf("a reader sees %q, want what is durable", got)
	}
	f.set(nil, false)
	first.Close()
	err = put(openSession(t, a), 1, "b")
	if !errors.Is(err, cause) || errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Fatalf("got %v, want it fatal until the file is opened again", err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, stream(open(t, path), "s")); got != "ab" {
		t.Fatalf("after opening again: %q", got)
	}
}

// While many pages are free their list is not written, and the file opens all the same: closed or crashed.
func TestLargeFreelist(t *testing.T) {
	path := tempPath(t)
	db := open(t, path)
	db.listFree = 50
	s := stream(db, "s")
	sess := openSession(t, s.NewAppender(backend.Format{}))
	large := string(bytes.Repeat([]byte("x"), 1<<20))
	for seq := range uint64(3) {
		if err := put(sess, seq, large); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Trim(ctx, "3"); err != nil {
		t.Fatal(err)
	}
	for seq := uint64(3); seq < 6; seq++ { // pages of the trim are free two commits later
		if err := put(sess, seq, "y"); err != nil {
			t.Fatal(err)
		}
	}
	crashed := path + ".crashed"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(crashed, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if !listOmitted(t, crashed) || listOmitted(t, path) {
		t.Fatal("want no list of free pages in a crashed file and one in a closed one")
	}
	for _, p := range []string{crashed, path} {
		db := open(t, p)
		s := stream(db, "s")
		if got := stored(t, s); got != "yyy" {
			t.Fatalf("%s: %q", p, got)
		}
		if err := put(openSession(t, s.NewAppender(backend.Format{})), 0, "z"); err != nil {
			t.Fatal(err)
		}
	}
}

// listOmitted reads from the newer of the two meta pages whether there is a list of free pages: page 2^64-1 is none.
func listOmitted(t *testing.T, path string) bool {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const freelist, txid = 48, 64 // where they are in a meta page, native byte order
	meta := data
	if page := os.Getpagesize(); binary.NativeEndian.Uint64(data[page+txid:]) > binary.NativeEndian.Uint64(data[txid:]) {
		meta = data[page:]
	}
	return binary.NativeEndian.Uint64(meta[freelist:]) == math.MaxUint64
}
