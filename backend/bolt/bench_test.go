package bolt_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
)

const batchRecords = 1000

func batch(n int) []backend.Record {
	recs := make([]backend.Record, n)
	for i := range recs {
		recs[i].Value = bytes.Repeat([]byte{byte(i)}, 100)
	}
	return recs
}

func openDB(tb testing.TB) *bolt.DB {
	tb.Helper()
	db, err := bolt.Open(filepath.Join(tb.TempDir(), "streams.db"))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

// BenchmarkAppend appends 100-byte records durably, in batches of 1,000, beside what bbolt itself does with the same records
// in transactions of 1,000 puts.
func BenchmarkAppend(b *testing.B) {
	b.Run("raw bbolt", func(b *testing.B) { rawAppend(b, batchRecords) })
	b.Run("one batch in flight", func(b *testing.B) { appendBatches(b, batchRecords, 1) })
	b.Run("pipelined", func(b *testing.B) { appendBatches(b, batchRecords, 16) })
}

// BenchmarkLoneAppend appends one record and waits for it.
func BenchmarkLoneAppend(b *testing.B) {
	b.Run("raw bbolt", func(b *testing.B) { rawAppend(b, 1) })
	b.Run("stream", func(b *testing.B) { appendBatches(b, 1, 1) })
}

func rawAppend(b *testing.B, n int) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	recs := batch(n)
	seq := uint64(0)
	b.ReportAllocs()
	for b.Loop() {
		err := db.Update(func(tx *bbolt.Tx) error {
			bucket, err := tx.CreateBucketIfNotExists([]byte("records"))
			for i := range recs {
				if err == nil {
					err = bucket.Put(binary.BigEndian.AppendUint64(nil, seq), recs[i].Value)
				}
				seq++
			}
			return err
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(seq)/b.Elapsed().Seconds(), "records/s")
}

func appendBatches(b *testing.B, n, inFlight int) {
	ctx := context.Background()
	s, err := openDB(b).Stream("orders", bolt.InFlight(inFlight)).NewAppender(backend.Format{}).Open(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	recs := batch(n)
	sent, acked := uint64(0), uint64(0)
	recv := func() {
		if _, err := s.Recv(ctx); err != nil {
			b.Fatal(err)
		}
		acked++
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Send(ctx, sent, recs); err != nil {
			b.Fatal(err)
		}
		if sent++; sent-acked == uint64(inFlight) {
			recv()
		}
	}
	for acked < sent {
		recv()
	}
	b.ReportMetric(float64(int(sent)*n)/b.Elapsed().Seconds(), "records/s")
}
