package bolt

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/boltfile"
	"github.com/headrace/headrace/internal/streamlog"
	"github.com/headrace/headrace/internal/streamlog/boltlog"
)

var (
	// ErrInUse says that another process, or another Open in this one, holds the file.
	ErrInUse = boltfile.ErrInUse

	// ErrDamaged says that the file is not what was written: it was cut short, or bytes of it have changed. Open says so of
	// what it can see; a damaged page is met later, by whoever reads it or by an append, after which nothing is written any
	// more. Restore the file from a backup.
	ErrDamaged = boltfile.ErrDamaged
)

// A DB is one file with any number of streams. Its methods may be called from any goroutine.
type DB struct{ file *boltlog.DB }

// Open opens the file at path and creates it when there is none. A file of length 0 was cut and is [ErrDamaged]. One process
// has the file open at a time: when another one does, Open fails within a second with an error that wraps [ErrInUse].
func Open(path string, opts ...Option) (*DB, error) {
	c := config{mode: 0o600}
	for _, o := range opts {
		o(&c)
	}
	file, err := boltlog.Open(path, c.mode, c.fileBytes)
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	return &DB{file}, nil
}

// Stream returns the stream of that name, of 1 to 512 bytes. It exists from its first append on; until then it reads as an
// empty one. The options hold for what is appended through the Stream returned, and not for others of the same name. What
// is wrong with the name or with what is stored is said by Open and OpenReader.
func (db *DB) Stream(name string, opts ...StreamOption) *Stream {
	c := streamConfig{limits: backend.Limits{BatchRecords: 10_000, BatchBytes: 4 << 20, RecordBytes: 4 << 20, InFlight: 16}}
	for _, o := range opts {
		o(&c)
	}
	return &Stream{streamlog.New(fmt.Sprintf("bolt: stream %q", name), db.file.Store(name), c.limits)}
}

// Streams returns the names of the streams that exist, sorted by their bytes.
func (db *DB) Streams() ([]string, error) {
	names, err := db.file.Names()
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	return names, nil
}

// Delete removes a stream with all its records. Its sessions and readers end with [backend.ErrNotFound]; so does deleting
// one that does not exist. The name may be used again at once, by a new call of Stream. The end of ctx ends the wait and
// leaves the outcome unknown.
func (db *DB) Delete(ctx context.Context, name string) error {
	if err := db.file.Delete(ctx, name); err != nil {
		return fmt.Errorf("bolt: %w", err)
	}
	return nil
}

// Bolt returns the bbolt database, to keep something else in the same file: in top-level buckets whose names do not begin
// with "headrace/". A transaction left open holds up Close, and a read transaction left open also appends, as soon as the
// file outgrows its mapping.
func (db *DB) Bolt() *bbolt.DB { return db.file.Bolt() }

// Close commits what was taken and closes the file. Then sessions and readers of all streams end with
// [backend.ErrClosed]. It waits for transactions of Bolt that are open. A second Close does nothing and returns nil.
func (db *DB) Close() error {
	if err := db.file.Close(); err != nil {
		return fmt.Errorf("bolt: %w", err)
	}
	return nil
}
