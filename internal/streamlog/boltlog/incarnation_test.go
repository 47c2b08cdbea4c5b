package boltlog

import (
	"testing"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// A stream of a file that was written before streams had incarnations is read as it was, and gets one with its next write.
func TestStreamWithoutIncarnationGetsOneWithItsNextWrite(t *testing.T) {
	path := tempPath(t)
	db := open(t, path)
	if _, err := streamlog.Commit(ctx, db.Store("s"), &streamlog.Write{Records: one("first")}); err != nil {
		t.Fatal(err)
	}
	err := db.Bolt().Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketPrefix + "s"))
		state, err := decodeState(b.Get(stateKey))
		if err != nil {
			return err
		}
		state.Incarnation = ""
		return b.Put(stateKey, state.encode())
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	db = open(t, path)
	s := db.Store("s")
	if got := nextOf(t, s, 0); got != "1" {
		t.Errorf("the next place is %q", got)
	}
	if _, err := streamlog.Commit(ctx, s, &streamlog.Write{Records: one("second")}); err != nil {
		t.Fatal(err)
	}
	incarnation := s.Board().State().Incarnation
	if got := nextOf(t, s, 1); incarnation == "" || got != streamlog.FormatOffset(2, incarnation) {
		t.Errorf("the next place is %q in %q", got, incarnation)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}

	s = open(t, path).Store("s")
	if got := s.Board().State().Incarnation; got != incarnation {
		t.Errorf("%q became %q", incarnation, got)
	}
	log := streamlog.New("s", s, backend.Limits{})
	for _, from := range []backend.Offset{"1", streamlog.FormatOffset(1, incarnation)} {
		if _, err := log.OpenReader(ctx, from); err != nil {
			t.Errorf("%s: %v", from, err)
		}
	}
}

func nextOf(t *testing.T, s streamlog.Store, seq uint64) backend.Offset {
	t.Helper()
	recs, _, err := s.Read(seq, streamlog.ReadLimit{Below: seq + 1, Records: 1, Bytes: 1})
	if err != nil || len(recs) != 1 {
		t.Fatalf("%d records, %v", len(recs), err)
	}
	return recs[0].Next
}
