package bolt_test

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/internal/turns"
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
	b.Run("in turn", func(b *testing.B) { turns.Compare(b, 100, rawCommits(b, 1), loneAppends(b)) })
}

// rawAppend measures transactions of n puts.
func rawAppend(b *testing.B, n int) {
	commits := rawCommits(b, n)
	committed := 0
	b.ReportAllocs()
	for b.Loop() {
		commits(1)
		committed++
	}
	b.ReportMetric(float64(committed*n)/b.Elapsed().Seconds(), "records/s")
}

// rawCommits returns a function that runs transactions of n puts, one after the other.
func rawCommits(b *testing.B, n int) func(transactions int) {
	db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = db.Close() })
	recs, seq := batch(n), uint64(0)
	put := func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists([]byte("records"))
		for i := range recs {
			if err == nil {
				err = bucket.Put(binary.BigEndian.AppendUint64(nil, seq), recs[i].Value)
			}
			seq++
		}
		return err
	}
	return func(transactions int) {
		for range transactions {
			if err := db.Update(put); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// loneAppends returns a function that appends records through a session, and waits for each ack.
func loneAppends(b *testing.B) func(n int) {
	s, err := openDB(b).Stream("orders").NewAppender(backend.Format{}).Open(ctx)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	recs, seq := batch(1), uint64(0)
	return func(n int) {
		for range n {
			if err := s.Send(ctx, seq, recs); err != nil {
				b.Fatal(err)
			}
			if _, err := s.Recv(ctx); err != nil {
				b.Fatal(err)
			}
			seq++
		}
	}
}

func appendBatches(b *testing.B, n, inFlight int) {
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

// BenchmarkRead reads 100-byte records from the first to the last, beside what a cursor of bbolt does with the same
// records under a key each, copying them out.
func BenchmarkRead(b *testing.B) {
	const total = 200 * batchRecords
	b.Run("raw bbolt", func(b *testing.B) {
		db, err := bbolt.Open(filepath.Join(b.TempDir(), "raw.db"), 0o600, &bbolt.Options{NoSync: true})
		if err != nil {
			b.Fatal(err)
		}
		defer db.Close()
		fillRaw(b, db, total)
		readRaw(b, db)
	})
	b.Run("stream", func(b *testing.B) {
		s := openDB(b).Stream("orders")
		fillStream(b, s, total)
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			r, err := s.OpenReader(ctx, backend.Earliest)
			if err != nil {
				b.Fatal(err)
			}
			for caughtUp := false; !caughtUp; {
				got, err := r.Read(ctx)
				if err != nil {
					b.Fatal(err)
				}
				n += len(got.Records)
				caughtUp = got.CaughtUp
				if got.Free != nil {
					got.Free()
				}
			}
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	})
}

var sink []byte

func fillRaw(b *testing.B, db *bbolt.DB, n int) {
	b.Helper()
	recs := batch(batchRecords)
	err := db.Update(func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucket([]byte("records"))
		for i := 0; err == nil && i < n; i++ {
			err = bucket.Put(binary.BigEndian.AppendUint64(nil, uint64(i)), recs[i%len(recs)].Value)
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

// readRaw copies all values out, which is what reading is: bbolt only lends them.
func readRaw(b *testing.B, db *bbolt.DB) {
	b.Helper()
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		err := db.View(func(tx *bbolt.Tx) error {
			c := tx.Bucket([]byte("records")).Cursor()
			for k, v := c.First(); k != nil; k, v = c.Next() {
				sink = append([]byte(nil), v...)
				n++
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
}

func fillStream(b *testing.B, s *bolt.Stream, n int) {
	b.Helper()
	one, err := s.NewAppender(backend.Format{}).Open(ctx)
	if err != nil {
		b.Fatal(err)
	}
	defer one.Close()
	recs := batch(batchRecords)
	for seq := range uint64(n / batchRecords) {
		if err := one.Send(ctx, seq, recs); err != nil {
			b.Fatal(err)
		}
		if _, err := one.Recv(ctx); err != nil {
			b.Fatal(err)
		}
	}
}
