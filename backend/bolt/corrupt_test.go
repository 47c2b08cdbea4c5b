package bolt_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
)

// damage changes one byte of a value in the bucket of stream "s".
func damage(t *testing.T, db *bolt.DB, where func(b *bbolt.Bucket) (in *bbolt.Bucket, key []byte)) {
	t.Helper()
	err := db.Bolt().Update(func(tx *bbolt.Tx) error {
		b, key := where(tx.Bucket([]byte("headrace/stream/s")))
		value := bytes.Clone(b.Get(key))
		value[len(value)/2] ^= 1
		return b.Put(key, value)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestCorruptBlockOnDisk(t *testing.T) {
	path := tempFile(t)
	db := openFile(t, path)
	s := db.Stream("s")
	appendAll(t, s, values(0, 10), values(10, 20), values(20, 30))
	damage(t, db, func(b *bbolt.Bucket) (*bbolt.Bucket, []byte) {
		return b.Bucket([]byte("records")), []byte{0, 0, 0, 0, 0, 0, 0, 10}
	})
	r, err := s.OpenReader(ctx, "5")
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.Read(ctx) // all that came before an error is returned before it
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, b.Records, 5, 10)
	_, err = r.Read(ctx)
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), `"s"`) || !strings.Contains(err.Error(), "seq 10") {
		t.Fatalf("%v does not name file, stream and seq", err)
	}
	for _, sentinel := range []error{backend.ErrTransient, backend.ErrOutOfRange} {
		if errors.Is(err, sentinel) {
			t.Fatalf("%v is not fatal", err)
		}
	}
	if err := s.Trim(ctx, "20"); err != nil {
		t.Fatal(err)
	}
	wantValues(t, readAll(t, s, backend.Earliest), 20, 30)
}

// A block in the middle that is gone is no trim.
func TestMissingBlock(t *testing.T) {
	db := openFile(t, tempFile(t))
	s := db.Stream("s")
	appendAll(t, s, values(0, 10), values(10, 20), values(20, 30))
	err := db.Bolt().Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("headrace/stream/s")).Bucket([]byte("records")).Delete([]byte{0, 0, 0, 0, 0, 0, 0, 10})
	})
	if err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenReader(ctx, "5")
	if err != nil {
		t.Fatal(err)
	}
	b, err := r.Read(ctx) // all that came before an error is returned before it
	if err != nil {
		t.Fatal(err)
	}
	wantValues(t, b.Records, 5, 10)
	if _, err := r.Read(ctx); err == nil || errors.Is(err, backend.ErrOutOfRange) || !strings.Contains(err.Error(), "seq 10") {
		t.Fatalf("got %v", err)
	}
}

func TestCorruptState(t *testing.T) {
	path := tempFile(t)
	db := openFile(t, path)
	appendAll(t, db.Stream("s"), values(0, 10))
	appendAll(t, db.Stream("other"), values(0, 10))
	damage(t, db, func(b *bbolt.Bucket) (*bbolt.Bucket, []byte) { return b, []byte("state") })
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	db = openFile(t, path)
	s := db.Stream("s")
	_, readErr := s.OpenReader(ctx, backend.Earliest)
	_, openErr := s.NewAppender(backend.Format{}).Open(ctx)
	for _, err := range []error{readErr, openErr, s.Seal(ctx)} {
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), `"s"`) {
			t.Errorf("%v does not name file and stream", err)
		}
	}
	wantValues(t, readAll(t, db.Stream("other"), backend.Earliest), 0, 10)
	if err := db.Delete(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	appendAll(t, db.Stream("s"), values(0, 1))
}
