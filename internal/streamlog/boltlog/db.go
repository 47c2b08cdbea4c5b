package boltlog

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"time"
	"weak"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/boltfile"
	"github.com/headrace/headrace/internal/committer"
	"github.com/headrace/headrace/internal/streamlog"
)

// A DB is one file with any number of streams. Any goroutine may call its methods.
//
// Lock order: the committer's lock (held in publish and in Between) before streamsMu.
type DB struct {
	committer *committer.Committer
	path      string

	streamsMu sync.Mutex
	// streams does not keep a store alive: a store without users is garbage collected, so asking for many unknown names
	// costs no memory. streamsMu guards streams.
	streams map[string]weak.Pointer[store]

	// Only the committer's goroutine uses touched and unknown.
	touched []*store // the streams of the round under way
	unknown []*store // the streams of the round whose outcome is unknown, if there was one
}

// lockWait is how long Open waits for the lock of the file. A process that is just ending releases the lock in this
// time. Together with the retries of bbolt, the wait stays below a second.
const lockWait = 500 * time.Millisecond

// Open opens the file at path, and creates it with mode if it does not exist. The file may grow to fileBytes; 0 means
// no limit.
func Open(path string, mode os.FileMode, fileBytes int) (*DB, error) {
	db := &DB{path: path, streams: map[string]weak.Pointer[store]{}}
	c, err := committer.Open(committer.Config{
		Path:      path,
		Mode:      mode,
		FileBytes: fileBytes,
		LockWait:  lockWait,
		Seal:      db.seal,
		Publish:   db.publish,
	})
	if err != nil {
		return nil, err
	}
	db.committer = c
	return db, nil
}

// Bolt returns the bbolt database.
func (db *DB) Bolt() *bbolt.DB { return db.committer.File().Bolt() }

// Store returns the only Store of a stream, so that all users of the stream see the same state. The stream exists from
// its first Write on. If the name (1 to 512 bytes) or the stored data is invalid, the Store's board has ended with the
// error.
func (db *DB) Store(name string) streamlog.Store { return db.store(name) }

func (db *DB) store(name string) *store {
	db.streamsMu.Lock()
	defer db.streamsMu.Unlock()
	// All users of a stream must share a store: the board of a second store would miss the commits of the first.
	if s := db.streams[name].Value(); s != nil {
		return s
	}
	s := newStore(db, name)
	db.streams[name] = weak.Make(s)
	// Without the cleanup, the map would keep every name that was ever asked for.
	runtime.AddCleanup(s, db.collected, name)
	return s
}

// collected removes the name of a store after its garbage collection, unless the name already has a new store.
func (db *DB) collected(name string) {
	db.streamsMu.Lock()
	defer db.streamsMu.Unlock()
	if p, ok := db.streams[name]; ok && p.Value() == nil {
		delete(db.streams, name)
	}
}

// Names returns the names of all existing streams, sorted by their bytes. After a commit with an unknown outcome it
// fails, because nobody knows which streams exist.
func (db *DB) Names() (names []string, err error) {
	db.committer.Between(func(ended error) {
		if err = ended; err == nil {
			names, err = db.namesInFile()
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", err)
	}
	return names, nil
}

func (db *DB) namesInFile() (names []string, err error) {
	err = db.committer.File().View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			if s, ok := strings.CutPrefix(string(name), bucketPrefix); ok {
				names = append(names, s)
			}
			return nil
		})
	})
	if err != nil {
		return nil, db.fileError(err)
	}
	return names, nil
}

// Delete removes a stream with all its records. The board of the stream ends with ErrNotFound. Deleting an unknown
// stream is ErrNotFound too. The next Store with this name is a new one. If ctx ends first, Delete stops waiting, and
// the outcome is unknown.
func (db *DB) Delete(ctx context.Context, name string) error {
	done := make(chan error, 1)
	// A deletion is a step as an append is, so it comes in turn: batches queued before are stored first and deleted
	// with the rest, and batches queued behind are refused.
	db.committer.Do(&op{store: db.store(name), kind: opDelete, done: func(_ uint64, err error) { done <- err }})
	select {
	case err := <-done:
		if err != nil {
			return fmt.Errorf("delete stream %q: %w", name, err)
		}
		return nil
	case <-ctx.Done():
		return fmt.Errorf("delete stream %q: %w: %w: %w", name, backend.ErrTransient, backend.ErrIndeterminate, ctx.Err())
	}
}

// Close commits all batches that were taken, and closes the file. Then the sessions and readers of all streams end with
// ErrClosed. Close waits for open transactions of Bolt. A second Close returns nil.
func (db *DB) Close() error {
	// Stop comes first. Otherwise a batch could be stored after its session was told that the file is closed.
	db.committer.Stop()
	db.streamsMu.Lock()
	for _, p := range db.streams {
		if s := p.Value(); s != nil {
			s.board.End(fmt.Errorf("%s: %w", db.path, backend.ErrClosed))
		}
	}
	db.streamsMu.Unlock()
	return db.committer.Close()
}

// fileError adds the name of the file, unless err already has the name. It reports a closed file as backend.ErrClosed.
// Every other error keeps its meaning: for example, a file that could not be mapped again after its growth is unusable
// too, but nobody has closed it.
func (db *DB) fileError(err error) error {
	switch {
	case errors.Is(err, boltfile.ErrDamaged):
		return err
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fmt.Errorf("%s: %w: %w", db.path, backend.ErrClosed, err)
	}
	return fmt.Errorf("%s: %w", db.path, err)
}

// forget removes a deleted stream, so that the next Store with this name is new.
func (db *DB) forget(s *store) {
	db.streamsMu.Lock()
	defer db.streamsMu.Unlock()
	if db.streams[s.name].Value() == s {
		delete(db.streams, s.name)
	}
}
