package bolt_test

import (
	"errors"
	"os"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
)

// consume reads s from its checkpoint to the tail and returns how many records there were.
func consume(s *bolt.Stream, store checkpoint.Store) (n int, err error) {
	c, err := consumer.New(s, codec.Bytes(), consumer.Checkpoint(store, "k"), consumer.StopAtTail())
	if err != nil {
		return 0, err
	}
	for _, err := range c.Messages(ctx) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// A checkpoint outlives its stream. On the next stream of the name it would skip records in silence.
func TestCheckpointOfAnEarlierStreamIsOutOfRange(t *testing.T) {
	for name, end := range map[string]func(db *bolt.DB, path string) *bolt.DB{
		"file deleted": func(db *bolt.DB, path string) *bolt.DB {
			if err := errors.Join(db.Close(), os.Remove(path)); err != nil {
				t.Fatal(err)
			}
			return openFile(t, path)
		},
		"stream deleted": func(db *bolt.DB, path string) *bolt.DB {
			if err := db.Delete(ctx, "s"); err != nil {
				t.Fatal(err)
			}
			return db
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := tempFile(t)
			db, store := openFile(t, path), checkpoint.NewMemory()
			appendAll(t, db.Stream("s"), values(0, 500))
			if n, err := consume(db.Stream("s"), store); n != 500 || err != nil {
				t.Fatalf("%d records, %v", n, err)
			}
			db = end(db, path)
			defer db.Close()
			s := db.Stream("s")
			if n, err := consume(s, store); n != 0 || !errors.Is(err, backend.ErrOutOfRange) {
				t.Errorf("before the next stream is written: %d records, %v", n, err)
			}
			appendAll(t, s, values(0, 600))
			if n, err := consume(s, store); n != 0 || !errors.Is(err, backend.ErrOutOfRange) {
				t.Errorf("%d records, %v", n, err)
			}
			cp, err := store.Load(ctx, "k")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Trim(ctx, cp.Offset); !errors.Is(err, backend.ErrOutOfRange) {
				t.Errorf("trim: %v", err)
			}
		})
	}
}

// The name of a stream is durable: a checkpoint is good after the file was opened again.
func TestCheckpointIsGoodAfterOpeningAgain(t *testing.T) {
	path, store := tempFile(t), checkpoint.NewMemory()
	for i := range 3 {
		db := openFile(t, path)
		appendAll(t, db.Stream("s"), values(i*10, i*10+10))
		if n, err := consume(db.Stream("s"), store); n != 10 || err != nil {
			t.Errorf("opening %d: %d records, %v", i, n, err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
