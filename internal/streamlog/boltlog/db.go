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
	"github.com/headrace/headrace/internal/streamlog"
)

// A DB is one file with any number of streams. Any goroutine may call its methods.
//
// Lock order: publishing before streamsMu and before mu. streamsMu and mu are never held together.
type DB struct {
	file *boltfile.File
	path string

	streamsMu sync.Mutex
	// A store that nobody uses is garbage collected, so names that do not exist cost nothing. streamsMu guards streams.
	streams map[string]weak.Pointer[store]

	// The committer removes ops from queue, commits them as one transaction, and then removes the ops that were queued
	// meanwhile. mu guards queue and closing.
	mu      sync.Mutex
	queue   []*op
	closing bool
	wake    chan struct{} // holds one token: queue or closing has changed
	done    chan struct{} // closed when the committer has ended

	// publishing is held from the beginning of a commit until the boards show its outcome. So a goroutine that holds
	// publishing sees the same state in the file and on the boards, unless commitsEnded says that the outcome of a
	// commit is unknown.
	publishing   sync.Mutex
	commitsEnded error // why there are no more commits; only the committer sets it, with publishing held

	// Only the committer uses these fields.
	commit   func(*bbolt.Tx) error // Tx.Commit; a test may replace it
	listFree int                   // freelistPages; a test may replace it
}

// lockWait is how long Open waits for the lock of the file. A process that is just ending may release the lock in this
// time. Together with the retries of bbolt the wait stays below a second.
const lockWait = 500 * time.Millisecond

// Open opens the file at path, and creates it with mode if it does not exist. The file may grow to fileBytes; 0 means
// no limit.
func Open(path string, mode os.FileMode, fileBytes int) (*DB, error) {
	options := bbolt.Options{
		Timeout: lockWait,
		MaxSize: fileBytes,

		// The map finds free pages in constant time. The default, an array, searches all free pages, which becomes slow
		// as soon as a trim has freed many. Both keep the same pages on disk.
		FreelistType: bbolt.FreelistMapType,

		// The list of free pages is written with every commit, so that an open after a crash need not read the whole
		// file to find them. While the list is large, the committer changes that: see freelistPages.
		NoFreelistSync: false,

		// NoSync stays off: both fsyncs of a commit are what an ack is made of. NoGrowSync stays off too: the size of a
		// file that has grown must be durable before a page in the new part is referred to.
	}
	if runtime.GOOS != "windows" {
		// When the file outgrows the mapping, bbolt makes a new mapping, which waits for all readers and loads every
		// page again. A large mapping uses address space, and neither memory nor disk. But on Windows the file would be
		// made that large.
		options.InitialMmapSize = 256 << 20
	}
	file, err := boltfile.Open(path, mode, options)
	if err != nil {
		return nil, err
	}
	db := &DB{
		file:    file,
		path:    path,
		streams: map[string]weak.Pointer[store]{},
		commit:  (*bbolt.Tx).Commit,

		listFree: freelistPages,
		wake:     make(chan struct{}, 1),
		done:     make(chan struct{}),
	}
	go db.run()
	return db, nil
}

// Bolt returns the bbolt database.
func (db *DB) Bolt() *bbolt.DB { return db.file.Bolt() }

// Store returns the one Store of a stream, so that all users of the stream see the same state. The stream exists from
// its first Write on. If the name (1 to 512 bytes) or the stored data is wrong, the Store's board has ended with the
// error.
func (db *DB) Store(name string) streamlog.Store { return db.store(name) }

func (db *DB) store(name string) *store {
	db.streamsMu.Lock()
	defer db.streamsMu.Unlock()
	if s := db.streams[name].Value(); s != nil {
		return s
	}
	s := newStore(db, name)
	db.streams[name] = weak.Make(s)
	runtime.AddCleanup(s, db.collected, name)
	return s
}

// collected removes the name of a store that was garbage collected, unless the name has a new store.
func (db *DB) collected(name string) {
	db.streamsMu.Lock()
	defer db.streamsMu.Unlock()
	if p, ok := db.streams[name]; ok && p.Value() == nil {
		delete(db.streams, name)
	}
}

// Names returns the names of the streams that exist, sorted by their bytes.
func (db *DB) Names() (names []string, err error) {
	err = db.file.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			if s, ok := strings.CutPrefix(string(name), bucketPrefix); ok {
				names = append(names, s)
			}
			return nil
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list streams: %w", db.fileError(err))
	}
	return names, nil
}

// Delete removes a stream with all its records. Its board ends with ErrNotFound. To delete a stream that does not exist
// also gives ErrNotFound. The next Store of that name is a new one. When ctx ends, Delete stops waiting and the outcome
// is unknown.
func (db *DB) Delete(ctx context.Context, name string) error {
	done := make(chan error, 1)
	db.enqueue(&op{store: db.store(name), kind: opDelete, done: func(_ uint64, err error) { done <- err }})
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

// Close commits the batches that were taken and closes the file. Then sessions and readers of all streams end with
// ErrClosed. Close waits for open transactions of Bolt. A second Close does nothing and returns nil.
func (db *DB) Close() error {
	db.mu.Lock()
	first := !db.closing
	db.closing = true
	db.mu.Unlock()
	db.signal()
	<-db.done
	if !first {
		return nil
	}
	db.streamsMu.Lock()
	for _, p := range db.streams {
		if s := p.Value(); s != nil {
			s.board.End(db.errClosed())
		}
	}
	db.streamsMu.Unlock()
	if err := db.file.Close(); err != nil {
		return fmt.Errorf("close %s: %w", db.path, err)
	}
	return nil
}

func (db *DB) errClosed() error { return fmt.Errorf("%s: %w", db.path, backend.ErrClosed) }

// fileError names the file, unless err does, as damage does. It reports a closed file as backend.ErrClosed. Every other
// error keeps its meaning: a file that could not be mapped again after it grew is unusable too, but nobody closed it.
func (db *DB) fileError(err error) error {
	switch {
	case errors.Is(err, boltfile.ErrDamaged):
		return err
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fmt.Errorf("%s: %w: %w", db.path, backend.ErrClosed, err)
	}
	return fmt.Errorf("%s: %w", db.path, err)
}

// forget removes a deleted stream, so that the next call of Store makes a new one.
func (db *DB) forget(s *store) {
	db.streamsMu.Lock()
	defer db.streamsMu.Unlock()
	if db.streams[s.name].Value() == s {
		delete(db.streams, s.name)
	}
}
