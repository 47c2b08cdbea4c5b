package boltstore

import (
	"context"
	"errors"
	"fmt"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/internal/boltfile"
)

// Store is a [checkpoint.Store] in a bucket of a bbolt database.
//
// bbolt knows no context: the end of ctx does not interrupt the wait for another writer of the database, but a call
// whose ctx has ended by the time that it gets its turn changes nothing. Claim and Save wait for the writer, so inside a
// read-write transaction of the same goroutine they wait for ever: use SaveTx there.
//
// Errors, beyond those of [checkpoint.Store]: [*checkpoint.CorruptError] for a value that cannot be read,
// [backend.ErrClosed] when the database is closed, [backend.ErrIndeterminate] when the commit failed. A full disk, a
// database opened read-only and the like are returned with bbolt's cause.
type Store struct {
	db     *bbolt.DB
	file   *boltfile.File // db, guarded
	bucket []byte
}

var _ checkpoint.Store = (*Store)(nil)

// New returns the store in the bucket of that name at the top level of db. It does no I/O: the first Claim makes the
// bucket, and what is wrong is said by the first call. The bucket holds nothing else; names that begin with "headrace/"
// are the bolt backend's.
func New(db *bbolt.DB, bucket string) *Store {
	return &Store{db: db, file: boltfile.Of(db), bucket: []byte(bucket)}
}

// Load implements [checkpoint.Store]. It waits for no writer.
func (s *Store) Load(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	if err := s.begin(ctx, checkpoint.CheckKey(key)); err != nil {
		return checkpoint.Checkpoint{}, failed("load", key, err)
	}
	err = s.file.View(func(tx *bbolt.Tx) error {
		cp, err = s.stored(tx, key)
		return err
	})
	if err != nil {
		return checkpoint.Checkpoint{}, failed("load", key, err)
	}
	return cp, nil
}

// Claim implements [checkpoint.Store].
func (s *Store) Claim(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	err = s.update(ctx, checkpoint.CheckKey(key), func(tx *bbolt.Tx) error {
		stored, err := s.stored(tx, key)
		if err != nil {
			return err
		}
		if cp, err = checkpoint.Raise(stored); err != nil {
			return err
		}
		return s.put(tx, key, cp)
	})
	if err != nil {
		return checkpoint.Checkpoint{}, failed("claim", key, err)
	}
	return cp, nil
}

// Save implements [checkpoint.Store].
func (s *Store) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	err := s.update(ctx, checkpoint.CheckSave(key, cp), func(tx *bbolt.Tx) error { return s.save(tx, key, cp) })
	if err != nil {
		return failed("save", key, err)
	}
	return nil
}

// SaveTx is Save inside tx, a read-write transaction of the store's own database: cp is stored when tx is committed. On
// an error the caller rolls tx back, or the effect would be kept without its checkpoint. What Save refuses SaveTx
// refuses, and with [backend.ErrRejected] a transaction of another database, whose epochs are not the ones claimed here.
func (s *Store) SaveTx(tx *bbolt.Tx, key string, cp checkpoint.Checkpoint) error {
	if err := s.file.Write(func() error { return s.saveTx(tx, key, cp) }); err != nil {
		return failed("save", key, err)
	}
	return nil
}

func (s *Store) saveTx(tx *bbolt.Tx, key string, cp checkpoint.Checkpoint) error {
	switch {
	case tx.DB() == nil:
		return bolterrors.ErrTxClosed
	case tx.DB() != s.db:
		return fmt.Errorf("%w: the transaction is one of another database", backend.ErrRejected)
	}
	if err := checkpoint.CheckSave(key, cp); err != nil {
		return err
	}
	return s.save(tx, key, cp)
}

func (s *Store) save(tx *bbolt.Tx, key string, cp checkpoint.Checkpoint) error {
	stored, err := s.stored(tx, key)
	if err != nil {
		return err
	}
	if err := checkpoint.Fence(stored, cp); err != nil {
		return err
	}
	return s.put(tx, key, cp)
}

// update runs change in a transaction of its own. An error of change is one before the commit: nothing is stored.
func (s *Store) update(ctx context.Context, refused error, change func(*bbolt.Tx) error) error {
	if err := s.begin(ctx, refused); err != nil {
		return err
	}
	committing := false
	err := s.file.Update(func(tx *bbolt.Tx) error {
		if err := s.begin(ctx, nil); err != nil { // it may have ended while another writer was waited for
			return err
		}
		err := change(tx)
		committing = err == nil
		return err
	})
	if err != nil && committing {
		return fmt.Errorf("commit: %w: %w", backend.ErrIndeterminate, err)
	}
	return err
}

// begin says why a call is over before it touches anything.
func (s *Store) begin(ctx context.Context, refused error) error {
	switch {
	case refused != nil:
		return refused
	case len(s.bucket) == 0:
		return fmt.Errorf("%w: the name of the bucket is empty", backend.ErrRejected)
	case ctx.Err() != nil:
		return fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())
	}
	return nil
}

// stored returns what tx sees under key, the zero Checkpoint where there is no bucket yet.
func (s *Store) stored(tx *bbolt.Tx, key string) (checkpoint.Checkpoint, error) {
	b := tx.Bucket(s.bucket)
	if b == nil {
		return checkpoint.Checkpoint{}, nil
	}
	value := b.Get([]byte(key))
	if value == nil {
		return checkpoint.Checkpoint{}, nil
	}
	cp, err := decode(key, value)
	if err == nil || errors.Is(err, backend.ErrUnsupported) {
		return cp, err
	}
	place := fmt.Sprintf("the value of %.64q in bucket %q of %s", key, s.bucket, s.db.Path())
	return checkpoint.Checkpoint{}, &checkpoint.CorruptError{Place: place, Err: err}
}

func (s *Store) put(tx *bbolt.Tx, key string, cp checkpoint.Checkpoint) error {
	b, err := tx.CreateBucketIfNotExists(s.bucket)
	if err != nil {
		return err
	}
	return b.Put([]byte(key), encode(key, cp))
}

// failed names the call and, cut to what fits a log line, the key, and tells a closed database in our terms.
func failed(op, key string, err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = fmt.Errorf("%w: %w", backend.ErrClosed, err)
	}
	return fmt.Errorf("boltstore: %s %.64q: %w", op, key, err)
}
