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

// A DB is one file with any number of streams. Its methods may be called from any goroutine.
type DB struct {
	file *boltfile.File
	path string

	streamsMu sync.Mutex
	streams   map[string]weak.Pointer[store] // a store that nobody uses is collected: names that do not exist cost nothing

	// The committer takes what is queued, commits it as one transaction, and takes what was queued meanwhile.
	mu      sync.Mutex
	queue   []*op
	closing bool
	wake    chan struct{} // one token
	done    chan struct{} // the committer has ended

	// landing is held from the beginning of a commit until the boards show what became of it. Who holds it sees in the
	// file what the boards show, unless failed says that nobody knows.
	landing sync.Mutex
	failed  error // why no commit is tried any more; only the committer sets it

	// Only the committer uses these.
	commit   func(*bbolt.Tx) error // Tx.Commit, or what a test puts in its place
	listFree int                   // freelistPages, or what a test puts in its place
}

// lockWait is how long Open waits for the file's lock, in which time a process that is just ending may let go of it. It
// stays below a second together with the retries of bbolt.
const lockWait = 500 * time.Millisecond

// Open opens the file at path and creates it with mode when there is none. It may grow to fileBytes, 0 for no limit.
func Open(path string, mode os.FileMode, fileBytes int) (*DB, error) {
	options := bbolt.Options{
		Timeout: lockWait,
		MaxSize: fileBytes,

		// The map finds free pages in constant time; the array, the default, searches all of them, which shows as soon as
		// a trim has freed many. Both keep the same pages on disk.
		FreelistType: bbolt.FreelistMapType,

		// The list of free pages is written with every commit, so that opening after a crash need not read the whole file
		// to find them. The committer changes that for as long as the list is large: see freelistPages.
		NoFreelistSync: false,

		// NoSync stays off: both fsyncs of a commit are what an ack is made of. NoGrowSync stays off too: the size of a
		// file that has grown must be durable before a page in the new part is referred to.
	}
	if runtime.GOOS != "windows" {
		// Growing beyond the mapping costs a new one, which waits for all readers and faults every page in again. This is
		// address space and neither memory nor disk, but on Windows the file would be made that large.
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

// Store returns the one Store of a stream, so that all who use the stream see the same state. The stream exists from its
// first Write on. What is wrong with the name, of 1 to 512 bytes, or with what is stored has ended the Store's board.
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

// collected removes the name of a store that is gone, unless the name has a new store.
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

// Delete removes a stream with all it has. Its board ends with ErrNotFound, which is also what deleting no stream says. The
// next Store of that name is a new one. The end of ctx ends the wait and leaves the outcome unknown.
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

// Close commits what was taken and closes the file. Then sessions and readers of all streams end with
// ErrClosed. It waits for transactions of Bolt that are open. A second Close does nothing and returns nil.
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

// fileError names the file, which damage has done, and tells a closed file in our terms; any other error stays what it is.
// A file that could not be mapped again after it grew is unusable, but not because somebody closed it.
func (db *DB) fileError(err error) error {
	switch {
	case errors.Is(err, boltfile.ErrDamaged):
		return err
	case errors.Is(err, bolterrors.ErrDatabaseNotOpen):
		return fmt.Errorf("%s: %w: %w", db.path, backend.ErrClosed, err)
	}
	return fmt.Errorf("%s: %w", db.path, err)
}

// forget makes the next call of Stream start anew after the stream was deleted.
func (db *DB) forget(s *store) {
	db.streamsMu.Lock()
	defer db.streamsMu.Unlock()
	if db.streams[s.name].Value() == s {
		delete(db.streams, s.name)
	}
}
