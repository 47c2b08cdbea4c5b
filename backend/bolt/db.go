package bolt

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/internal/boltfile"
	"github.com/headrace/headrace/internal/streamlog"
	"github.com/headrace/headrace/internal/streamlog/boltlog"
)

var (
	// ErrInUse says: the file is open already, in another process or by another Open in this process.
	ErrInUse = boltfile.ErrInUse

	// ErrDamaged reports a damaged file: the file was cut short, or bytes of the file have changed. Open does not read
	// every page. A reader or an append may find a damaged page later; after such an append nothing more is written.
	// Restore the file from a backup.
	ErrDamaged = boltfile.ErrDamaged
)

// A DB is one file with any number of streams. Any goroutine may call its methods.
type DB struct{ file *boltlog.DB }

// Open opens the file at path, and creates a missing file. A file of length 0 was cut and is [ErrDamaged]. Only one
// process can have the file open. If another process has the file open, Open fails within a second with [ErrInUse].
func Open(path string, opts ...Option) (*DB, error) {
	c, err := complete(opts)
	if err != nil {
		return nil, fmt.Errorf("bolt: open: %w", err)
	}
	file, err := boltlog.Open(path, c.mode, c.fileBytes)
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	return &DB{file}, nil
}

// Stream returns the stream with the given name of 1 to 512 bytes. The stream exists from its first append on; before
// the first append, readers see an empty stream. The options apply to appends through the returned Stream, and not to
// other Streams of the same name. Every operation reports an error in the name, in the options or in the stored data.
func (db *DB) Stream(name string, opts ...StreamOption) *Stream {
	store := db.file.Store(name)
	limits, err := completeStream(opts)
	if err != nil {
		// An ended store replaces the store of the file: every operation returns err. Other Streams of the name go on.
		ended := streamlog.NewMemory()
		ended.Board().End(err)
		store = ended
	}
	return &Stream{streamlog.New(fmt.Sprintf("bolt: stream %q", name), store, limits)}
}

// Streams returns the names of the streams that exist, sorted by their bytes.
func (db *DB) Streams() ([]string, error) {
	names, err := db.file.Names()
	if err != nil {
		return nil, fmt.Errorf("bolt: %w", err)
	}
	return names, nil
}

// Delete removes a stream with all its records. Its sessions and readers end with [backend.ErrNotFound]. To delete a
// missing stream fails with [backend.ErrNotFound] too. A new call of Stream may use the name again at once. When ctx
// ends, Delete stops waiting and the outcome is unknown.
func (db *DB) Delete(ctx context.Context, name string) error {
	if err := db.file.Delete(ctx, name); err != nil {
		return fmt.Errorf("bolt: %w", err)
	}
	return nil
}

// Bolt returns the bbolt database. You can keep other data in the same file, in top-level buckets with names that do
// not begin with "headrace/". An open transaction delays Close. An open read transaction also delays appends, as soon
// as the file outgrows its mapping.
func (db *DB) Bolt() *bbolt.DB { return db.file.Bolt() }

// Close commits the batches that were taken and closes the file. Then sessions and readers of all streams end with
// [backend.ErrClosed]. Close waits for open transactions of Bolt. A second Close does nothing and returns nil.
func (db *DB) Close() error {
	if err := db.file.Close(); err != nil {
		return fmt.Errorf("bolt: %w", err)
	}
	return nil
}
