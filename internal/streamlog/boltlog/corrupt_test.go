package boltlog

import (
	"encoding/binary"
	"slices"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/streamlog"
)

// The reader of another backend gets the slice after Free, relies on zero records, and sets only a part of each.
func TestRecordsOfACorruptBlockAreNotLeftBehindTheSlice(t *testing.T) {
	db := open(t, tempPath(t))
	for range 2 { // two blocks, because each Write has its own
		recs := slices.Repeat([]backend.Record{{Value: []byte("v")}}, 70)
		if _, err := streamlog.Commit(ctx, db.Store("s"), &streamlog.Write{Records: recs}); err != nil {
			t.Fatal(err)
		}
	}
	err := db.Bolt().Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucketPrefix + "s")).Bucket(recordsKey)
		k, v := b.Cursor().Last()
		body, trailer := v[:len(v)-trailerBytes], slices.Clone(v[len(v)-trailerBytes:])
		body = append(slices.Clone(body), 0) // decode notices a byte too many only behind the last record
		binary.LittleEndian.PutUint32(trailer[8:], checksum(body, trailer[:8], 70))
		return b.Put(slices.Clone(k), append(body, trailer...))
	})
	if err != nil {
		t.Fatal(err)
	}
	recs, _, err := db.Store("s").Read(0, streamlog.ReadLimit{Below: 140, Records: 1000, Bytes: 1 << 20})
	if err != nil || len(recs) != 70 {
		t.Fatalf("%d records, %v, want those of the good block", len(recs), err)
	}
	for i, r := range recs[len(recs):cap(recs)] {
		if r.Value != nil || !r.Time.IsZero() {
			t.Fatalf("record %d behind the slice is %+v", i, r)
		}
	}
}
