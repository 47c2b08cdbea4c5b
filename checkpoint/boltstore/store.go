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
// bbolt does not know contexts. Therefore the end of ctx does not interrupt a call that waits for another writer of the
// database. But if ctx has ended when the call gets its turn, the call changes nothing. Claim and Save wait for the
// writer. Inside a read-write transaction of the same goroutine, Claim and Save would wait for ever: use SaveTx there.
//
// Errors, in addition to those of [checkpoint.Store]: [*checkpoint.CorruptError] for a value that cannot be read,
// [backend.ErrClosed] when the database is closed, [backend.ErrIndeterminate] when the commit failed. Other errors,
// such as a full disk or a database opened read-only, are returned with bbolt's cause.
type Store struct {
	db     *bbolt.DB
	file   *boltfile.File // db, with a guard against damaged pages
	bucket []byte
}

var (
	_ checkpoint.Store  = (*Store)(nil)
	_ checkpoint.Lister = (*Store)(nil)
)

// New returns the store in the bucket with the given name at the top level of db. New does no I/O: the first Claim makes
// the bucket, and the first call reports any fault. The bucket must hold nothing else. Names that begin with "headrace/"
// belong to the bolt backend.
func New(db *bbolt.DB, bucket string) *Store {
	return &Store{db: db, file: boltfile.Of(db), bucket: []byte(bucket)}
}

// Load implements [checkpoint.Store], and does not wait for a writer.
func (s *Store) Load(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	if err := s.checkCall(ctx, checkpoint.CheckKey(key)); err != nil {
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

// Keys implements [checkpoint.Lister], and does not wait for a writer.
func (s *Store) Keys(ctx context.Context) (keys []string, err error) {
	if err = s.checkCall(ctx, nil); err == nil {
		err = s.file.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(s.bucket)
			if b == nil {
				return nil
			}
			// bbolt keeps the keys of a bucket sorted byte by byte.
			return b.ForEach(func(key, _ []byte) error {
				keys = append(keys, string(key))
				return nil
			})
		})
	}
	if err != nil {
		return nil, failed("list the keys of bucket", string(s.bucket), err)
	}
	return keys, nil
}

// SaveTx is Save inside tx, a read-write transaction of the store's own database: cp is stored when tx is committed. When
// SaveTx returns an error, the caller must roll tx back; otherwise the effect would be kept without its checkpoint.
// SaveTx refuses the same arguments as Save. With [backend.ErrRejected] SaveTx also refuses a transaction of another
// database, because epochs claimed here mean nothing there.
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
		return fmt.Errorf("%w: the transaction belongs to another database", backend.ErrRejected)
	}
	if err := checkpoint.CheckSave(key, cp); err != nil {
		return err
	}
	return s.save(tx, key, cp)
}

// save compares the epochs and stores cp in one transaction: no claim can happen in between.
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

// update runs change in a transaction of its own. When change fails, the transaction is rolled back and nothing is
// stored. refused is the error of the arguments, or nil.
func (s *Store) update(ctx context.Context, refused error, change func(*bbolt.Tx) error) error {
	if err := s.checkCall(ctx, refused); err != nil {
		return err
	}
	// committing is true once change has succeeded. A later error of bbolt is an error of the commit, and nobody knows
	// whether the commit took effect.
	committing := false
	err := s.file.Update(func(tx *bbolt.Tx) error {
		// ctx may have ended while we waited for another writer.
		if err := s.checkCall(ctx, nil); err != nil {
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

// checkCall returns the reason to end a call before any change, or nil. A refused argument comes first, because no retry
// can help.
func (s *Store) checkCall(ctx context.Context, refused error) error {
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

// stored returns the checkpoint under key in tx. Without a bucket, stored returns the zero Checkpoint.
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

// failed names the call and the key (or the bucket), cut to 64 bytes, which fit into a log line. A closed database
// becomes backend.ErrClosed.
func failed(op, key string, err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		err = fmt.Errorf("%w: %w", backend.ErrClosed, err)
	}
	return fmt.Errorf("boltstore: %s %.64q: %w", op, key, err)
}
