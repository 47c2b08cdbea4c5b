package boltlog

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/boltfile/boltfiletest"
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

// lastCommit returns the number of the last transaction in the file of db.
func lastCommit(t *testing.T, db *DB) (id int) {
	t.Helper()
	if err := db.Bolt().View(func(tx *bbolt.Tx) error { id = tx.ID(); return nil }); err != nil {
		t.Fatal(err)
	}
	return id
}

// What was queued while a commit was under way shares the next one, whoever sent it.
func TestGroupCommit(t *testing.T) {
	db := open(t, tempPath(t))
	var sessions []backend.Session
	for _, name := range []string{"a", "a", "b", "c"} {
		sessions = append(sessions, openSession(t, stream(db, name).NewAppender(backend.Format{})))
	}
	before := lastCommit(t, db)
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
	if n := lastCommit(t, db) - before; n > 2 {
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
	db.committer.CommitTx = f.commit // the queue orders this before its first use
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
	db.committer.CommitTx = f.commit
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

// On a full disk nothing of a batch is stored. When there is room again, the next session stores it.
func TestFullDiskStoresNothing(t *testing.T) {
	path := tempPath(t)
	db := open(t, path)
	s := stream(db, "s")
	a := s.NewAppender(backend.Format{})
	first := openSession(t, a)
	if err := put(first, 0, "a"); err != nil {
		t.Fatal(err)
	}
	free := boltfiletest.FullDisk(t, path)
	large := string(bytes.Repeat([]byte("b"), 20<<20))
	if err := put(first, 1, large); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Fatalf("got %v, want transient", err)
	}
	free()
	if got := stored(t, s); got != "a" {
		t.Fatalf("%d bytes are stored, want 1", len(got))
	}
	first.Close()
	if err := put(openSession(t, a), 1, large); err != nil {
		t.Fatal(err)
	}
	if state := db.Store("s").Board().State(); state.Tail != 2 {
		t.Fatalf("tail %d, want 2", state.Tail)
	}
}

// After a commit of unknown outcome the file may show what a crash takes back. Who opens the stream only then must not be
// shown that.
func TestStoreOpenedAfterUnknownOutcomeShowsWhatIsDurable(t *testing.T) {
	var f failing
	db := open(t, tempPath(t))
	db.committer.CommitTx = f.commit
	commit := func(w *streamlog.Write) error {
		_, err := streamlog.Commit(ctx, db.Store("s"), w)
		return err
	}
	if err := commit(&streamlog.Write{Records: one("a")}); err != nil {
		t.Fatal(err)
	}
	cause := errors.New("input/output error")
	f.set(cause, true)
	if err := commit(&streamlog.Write{Records: one("b"), Close: true}); !errors.Is(err, backend.ErrIndeterminate) {
		t.Fatal(err)
	}
	for range 10 { // a store that nobody uses would be collected, and Store would make a new one
		runtime.GC()
	}
	if state := db.Store("s").Board().State(); state.Tail != 1 || state.Closed {
		t.Errorf("%+v, want one record and no end", state)
	}
	if names, err := db.Names(); !errors.Is(err, cause) {
		t.Errorf("streams: %v, %v; want the failed commit", names, err)
	}
}
