package boltlog

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// everything is a limit that takes all records below it.
var everything = streamlog.ReadLimit{Below: 2, Records: 10, Bytes: 1 << 20}

// besideCommit runs read while the first commit of change is in the file and the board does not show it yet. A read that
// waits for the board gets its turn when a thousand others had theirs.
func besideCommit(db *DB, change func(), read func() error) error {
	result := make(chan error, 1)
	first := true
	db.committer.CommitTx = func(tx *bbolt.Tx) error {
		err := tx.Commit()
		if !first {
			return err
		}
		first = false
		go func() { result <- read() }()
		for i := 0; i < 1000 && len(result) == 0; i++ {
			runtime.Gosched()
		}
		return err
	}
	change()
	return <-result
}

func twoRecords(t *testing.T) (*DB, *store) {
	t.Helper()
	db := open(t, tempPath(t))
	for _, v := range []string{"a", "b"} {
		if _, err := streamlog.Commit(ctx, db.Store("s"), &streamlog.Write{Records: one(v)}); err != nil {
			t.Fatal(err)
		}
	}
	return db, db.store("s")
}

// What a reader asks for may be dropped between its look at the board and its look at the file.
func TestReadBesideTrimIsNotCalledCorrupt(t *testing.T) {
	trim := func(s *store) func() {
		return func() { _, _ = streamlog.Commit(ctx, s, &streamlog.Write{Trim: 2}) }
	}
	t.Run("read", func(t *testing.T) {
		db, s := twoRecords(t)
		err := besideCommit(db, trim(s), func() error {
			recs, _, err := s.Read(0, everything)
			if err == nil && len(recs) > 0 {
				t.Errorf("%d records below the head", len(recs))
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("time", func(t *testing.T) {
		db, s := twoRecords(t)
		err := besideCommit(db, trim(s), func() error {
			_, err := s.Since(time.Unix(0, 0), 0, 2)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	t.Run("delete", func(t *testing.T) {
		db, s := twoRecords(t)
		err := besideCommit(db, func() { _ = db.Delete(ctx, "s") }, func() error {
			_, err := s.Since(time.Unix(0, 0), 0, 2)
			return err
		})
		if !errors.Is(err, backend.ErrNotFound) && err != nil {
			t.Fatal(err)
		}
	})
}

// A resend is compared with what is stored. What was trimmed meanwhile counts as the same.
func TestResendBesideTrimIsNotCalledCorrupt(t *testing.T) {
	db := open(t, tempPath(t))
	s := stream(db, "s")
	a := s.NewAppender(backend.Format{})
	first := openSession(t, a)
	if err := first.Send(ctx, 0, one("a")); err != nil {
		t.Fatal(err)
	}
	if _, err := streamlog.Commit(ctx, db.Store("s"), &streamlog.Write{Records: one("b")}); err != nil { // behind a
		t.Fatal(err)
	}
	first.Close() // without its ack
	again := openSession(t, a)
	err := besideCommit(db, func() { _ = s.Trim(ctx, backend.Latest) }, func() error { return put(again, 0, "a") })
	if err != nil {
		t.Fatal(err)
	}
}

// After a trim whose outcome nobody knows, the board shows records that may be gone.
func TestReadBehindTrimOfUnknownOutcomeSaysSo(t *testing.T) {
	db, s := twoRecords(t)
	cause := errors.New("input/output error")
	f := failing{err: cause, landed: true}
	db.committer.CommitTx = f.commit
	if err := stream(db, "s").Trim(ctx, backend.Latest); !errors.Is(err, backend.ErrIndeterminate) {
		t.Fatal(err)
	}
	if _, _, err := s.Read(0, everything); !errors.Is(err, cause) || errors.Is(err, errCorrupt) {
		t.Fatalf("got %v, want the failed commit", err)
	}
}
