package boltstore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
)

func openDB(t testing.TB, path string, opts *bbolt.Options) *bbolt.DB {
	t.Helper()
	db, err := bbolt.Open(path, 0o644, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() }) // again, where the test has closed it
	return db
}

// savedStore returns a store with "k" saved at "41".
func savedStore(t *testing.T) (*Store, checkpoint.Checkpoint) {
	t.Helper()
	s := New(openDB(t, filepath.Join(t.TempDir(), "db"), nil), "checkpoints")
	cp, err := s.Claim(t.Context(), "k")
	if err != nil {
		t.Fatal(err)
	}
	cp.Offset = "41"
	if err := s.Save(t.Context(), "k", cp); err != nil {
		t.Fatal(err)
	}
	return s, cp
}

// errorsOf returns what every method returns for "k".
func errorsOf(t *testing.T, s *Store, cp checkpoint.Checkpoint) []error {
	t.Helper()
	_, errLoad := s.Load(t.Context(), "k")
	_, errClaim := s.Claim(t.Context(), "k")
	return []error{errLoad, errClaim, s.Save(t.Context(), "k", cp)}
}

func TestContract(t *testing.T) {
	checkpointtest.Run(t, func(t *testing.T) checkpoint.Store {
		return New(openDB(t, filepath.Join(t.TempDir(), "db"), nil), "checkpoints")
	}, checkpointtest.Reopen(func(t *testing.T, old checkpoint.Store) checkpoint.Store {
		db := old.(*Store).db
		path := db.Path()
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		return New(openDB(t, path, nil), "checkpoints")
	}))
}

// viaTx saves by SaveTx in a transaction of its own, so that the suite's rules hold for SaveTx, too.
type viaTx struct{ *Store }

func (s viaTx) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	if ctx.Err() != nil { // SaveTx has no context: the transaction is the caller's
		return s.Store.Save(ctx, key, cp)
	}
	return s.db.Update(func(tx *bbolt.Tx) error { return s.SaveTx(tx, key, cp) })
}

func TestSaveTxContract(t *testing.T) {
	checkpointtest.Run(t, func(t *testing.T) checkpoint.Store {
		return viaTx{New(openDB(t, filepath.Join(t.TempDir(), "db"), nil), "checkpoints")}
	})
}

func TestCorruptValue(t *testing.T) {
	s, cp := savedStore(t)
	sound := encode("k", cp)
	for name, damaged := range map[string][]byte{
		"empty":       {},
		"cut":         sound[:len(sound)-1],
		"short":       sound[:offsetAt],
		"another key": encode("j", cp),
		"flipped":     append(append([]byte{}, sound[:offsetAt]...), append([]byte{'5'}, sound[offsetAt+1:]...)...),
	} {
		t.Run(name, func(t *testing.T) {
			err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(s.bucket).Put([]byte("k"), damaged) })
			if err != nil {
				t.Fatal(err)
			}
			for _, err := range errorsOf(t, s, cp) {
				var corrupt *checkpoint.CorruptError
				if !errors.As(err, &corrupt) || !strings.Contains(corrupt.Place, s.db.Path()) ||
					!strings.Contains(corrupt.Place, `"k" in bucket "checkpoints"`) {
					t.Errorf("%v, want a CorruptError that names key, bucket and file", err)
				}
			}
			if other, err := s.Claim(t.Context(), "other "+name); err != nil || other.Epoch != 1 {
				t.Errorf("Claim of a sound key beside it: %v, %v", other, err)
			}
		})
	}
}

func TestValueOfALaterRelease(t *testing.T) {
	s, cp := savedStore(t)
	err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(s.bucket).Put([]byte("k"), []byte{3, 'x'}) })
	if err != nil {
		t.Fatal(err)
	}
	for _, err := range errorsOf(t, s, cp) {
		if !errors.Is(err, backend.ErrUnsupported) {
			t.Errorf("%v, want ErrUnsupported", err)
		}
	}
}

func TestClosedDatabase(t *testing.T) {
	s, cp := savedStore(t)
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	for _, err := range errorsOf(t, s, cp) {
		if !errors.Is(err, backend.ErrClosed) || !errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
			t.Errorf("%v, want ErrClosed and bbolt's cause", err)
		}
	}
}

func TestEmptyBucketName(t *testing.T) {
	s, cp := savedStore(t)
	for _, err := range errorsOf(t, New(s.db, ""), cp) {
		if !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%v, want ErrRejected", err)
		}
	}
}

// TestBucketsAreIndependent: two stores in one database, and the same bucket by two stores.
func TestBucketsAreIndependent(t *testing.T) {
	s, cp := savedStore(t)
	if got, err := New(s.db, "others").Load(t.Context(), "k"); err != nil || got != (checkpoint.Checkpoint{}) {
		t.Errorf("another bucket holds %v, %v", got, err)
	}
	if got, err := New(s.db, "checkpoints").Load(t.Context(), "k"); err != nil || got != cp {
		t.Errorf("the same bucket holds %v, %v; want %v", got, err, cp)
	}
}

func TestReadOnlyDatabase(t *testing.T) {
	s, cp := savedStore(t)
	path := s.db.Path()
	if err := s.db.Close(); err != nil {
		t.Fatal(err)
	}
	s = New(openDB(t, path, &bbolt.Options{ReadOnly: true}), "checkpoints")
	if got, err := s.Load(t.Context(), "k"); err != nil || got != cp {
		t.Errorf("Load: %v, %v; want %v", got, err, cp)
	}
	if err := s.Save(t.Context(), "k", cp); !errors.Is(err, bolterrors.ErrDatabaseReadOnly) {
		t.Errorf("Save: %v, want ErrDatabaseReadOnly", err)
	}
}

// TestFullDatabase: a commit that fails is an unknown outcome with its cause, and what was there stays.
func TestFullDatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	s := New(openDB(t, path, &bbolt.Options{MaxSize: 256 << 10}), "checkpoints")
	held := make(map[string]checkpoint.Checkpoint)
	var err error
	for n := 0; err == nil && n < 1000; n++ {
		key := fmt.Sprintf("%0*d", checkpoint.KeyBytes, n)
		var cp checkpoint.Checkpoint
		if cp, err = s.Claim(t.Context(), key); err == nil {
			held[key] = cp
		}
	}
	if !errors.Is(err, bolterrors.ErrMaxSizeReached) || !errors.Is(err, backend.ErrIndeterminate) {
		t.Fatalf("filling the database: %v, want ErrMaxSizeReached and ErrIndeterminate", err)
	}
	for key, cp := range held {
		if got, err := s.Load(t.Context(), key); err != nil || got != cp {
			t.Errorf("Load: %v, %v; want %v", got, err, cp)
		}
	}
}

// endsInBetween is a context that is alive when a call begins and has ended when the call gets its turn.
type endsInBetween struct {
	context.Context
	asked int
}

func (c *endsInBetween) Err() error {
	if c.asked++; c.asked == 1 {
		return nil
	}
	return context.Canceled
}

// TestContextEndsWhileWaiting: a call that gets its turn too late changes nothing.
func TestContextEndsWhileWaiting(t *testing.T) {
	s, held := savedStore(t)
	_, errClaim := s.Claim(&endsInBetween{Context: t.Context()}, "k")
	later := checkpoint.Checkpoint{Offset: "42", Epoch: held.Epoch}
	errSave := s.Save(&endsInBetween{Context: t.Context()}, "k", later)
	for _, err := range []error{errClaim, errSave} {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, backend.ErrTransient) {
			t.Errorf("%v, want the context's error and ErrTransient", err)
		}
	}
	if got, err := s.Load(t.Context(), "k"); err != nil || got != held {
		t.Errorf("Load: %v, %v; want %v", got, err, held)
	}
}
