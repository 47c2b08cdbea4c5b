package boltlog

import (
	"errors"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// oneRound queues steps while no transaction can begin, so that the committer finds all of them together.
func oneRound(t *testing.T, db *DB, steps func()) {
	t.Helper()
	tx, err := db.Bolt().Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	steps()
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
}

// outcomes commits writes to s and returns where each tells its error.
func outcomes(s streamlog.Store, writes ...*streamlog.Write) (told []chan error) {
	for _, w := range writes {
		c := make(chan error, 1)
		w.Done = func(_ uint64, err error) { c <- err }
		told = append(told, c)
		s.Commit(w)
	}
	return told
}

// The step that would refuse the next one fails with its transaction, so it must not have refused anything.
func TestRefusalDoesNotRestOnFailedCommit(t *testing.T) {
	cause := errors.New("no space")
	failing := func(t *testing.T) *DB {
		db := open(t, tempPath(t))
		if _, err := streamlog.Commit(ctx, db.Store("s"), &streamlog.Write{Records: one("a")}); err != nil {
			t.Fatal(err)
		}
		commits := 0
		db.committer.CommitTx = func(tx *bbolt.Tx) error {
			if commits++; commits > 1 {
				return tx.Commit()
			}
			return errors.Join(cause, tx.Rollback())
		}
		return db
	}
	for name, first := range map[string]*streamlog.Write{
		"close":        {Close: true},
		"content type": {ContentType: "text/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			db := failing(t)
			var told []chan error
			oneRound(t, db, func() {
				told = outcomes(db.Store("s"), first, &streamlog.Write{Records: one("b"), ContentType: "text/html"})
			})
			if err := <-told[0]; !errors.Is(err, cause) {
				t.Errorf("first: %v", err)
			}
			if err := <-told[1]; err != nil {
				t.Errorf("behind it: %v, want it stored", err)
			}
			if got := stored(t, stream(db, "s")); got != "ab" {
				t.Errorf("stored %q", got)
			}
		})
	}
	t.Run("delete", func(t *testing.T) {
		db := failing(t)
		deleted := make(chan error, 1)
		var told []chan error
		oneRound(t, db, func() {
			db.committer.Do(&op{store: db.store("s"), kind: opDelete, done: func(_ uint64, err error) { deleted <- err }})
			told = outcomes(db.Store("s"), &streamlog.Write{Records: one("b")})
		})
		if err := <-deleted; !errors.Is(err, cause) {
			t.Errorf("delete: %v", err)
		}
		if err := <-told[0]; err != nil {
			t.Errorf("behind it: %v, want it stored", err)
		}
	})
}

// What a durable step refuses is refused, in whatever round it came.
func TestRefusalFollowsDurableStep(t *testing.T) {
	db := open(t, tempPath(t))
	var told []chan error
	oneRound(t, db, func() {
		told = outcomes(db.Store("s"), &streamlog.Write{Records: one("a"), Close: true}, &streamlog.Write{Records: one("b")}, &streamlog.Write{Trim: 1})
	})
	if err := <-told[0]; err != nil {
		t.Error(err)
	}
	if err := <-told[1]; !errors.Is(err, backend.ErrStreamClosed) {
		t.Errorf("behind the end: %v", err)
	}
	if err := <-told[2]; err != nil {
		t.Error(err)
	}
}

// A deletion that was late does not touch the stream that has the name by now.
func TestLateDeletionLeavesTheNextStreamAlone(t *testing.T) {
	db := open(t, tempPath(t))
	old := db.store("s")
	if _, err := streamlog.Commit(ctx, old, &streamlog.Write{Records: one("a")}); err != nil {
		t.Fatal(err)
	}
	if err := db.Delete(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	if _, err := streamlog.Commit(ctx, db.Store("s"), &streamlog.Write{Records: one("b")}); err != nil {
		t.Fatal(err)
	}
	late := make(chan error, 1)
	db.committer.Do(&op{store: old, kind: opDelete, done: func(_ uint64, err error) { late <- err }})
	if err := <-late; !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("late deletion: %v", err)
	}
	if got := stored(t, stream(db, "s")); got != "b" {
		t.Errorf("stored %q", got)
	}
}

// What was true of a stream before it was deleted is no answer any more.
func TestDeletedStreamHasNothingToTrimOrClose(t *testing.T) {
	db := open(t, tempPath(t))
	s := stream(db, "s")
	if _, err := streamlog.Commit(ctx, db.Store("s"), &streamlog.Write{Records: one("a"), Close: true}); err != nil {
		t.Fatal(err)
	}
	if err := db.Delete(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	if err := s.Trim(ctx, "0"); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("trim: %v", err)
	}
	if err := s.Seal(ctx); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("close: %v", err)
	}
}

// A reader of a deleted stream may be between a look at the board and a look into the file when the next stream of the name
// appears there.
func TestDeletedStreamIsNotReadFromTheNextOne(t *testing.T) {
	db := open(t, tempPath(t))
	before := db.store("s")
	if _, err := streamlog.Commit(ctx, before, &streamlog.Write{Records: one("before")}); err != nil {
		t.Fatal(err)
	}
	if err := db.Delete(ctx, "s"); err != nil {
		t.Fatal(err)
	}
	if _, err := streamlog.Commit(ctx, db.store("s"), &streamlog.Write{Records: one("next")}); err != nil {
		t.Fatal(err)
	}
	if recs, _, err := before.Read(0, streamlog.ReadLimit{Below: 1, Records: 1, Bytes: 1}); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("read: %d records, %v", len(recs), err)
	}
	if seq, err := before.Since(time.Unix(0, 0), 0, 1); !errors.Is(err, backend.ErrNotFound) {
		t.Errorf("since: %d, %v", seq, err)
	}
}
