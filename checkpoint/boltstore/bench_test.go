package boltstore

import (
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/headrace/headrace/checkpoint"
)

// BenchmarkSave measures saves beside what none of them can be faster than: one Put and the commit. The two alternate,
// because a disk has moods.
func BenchmarkSave(b *testing.B) {
	value := []byte("a value of about the length of a checkpoint")
	effect := func(tx *bbolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(effects)
		if err != nil {
			return err
		}
		return bucket.Put([]byte("orders/billing"), value)
	}
	open := func(b *testing.B) *bbolt.DB { return openDB(b, filepath.Join(b.TempDir(), "db"), nil) }
	claim := func(b *testing.B) (*Store, checkpoint.Checkpoint) {
		s := New(open(b), "checkpoints")
		cp, err := s.Claim(b.Context(), "orders/billing")
		if err != nil {
			b.Fatal(err)
		}
		cp.Offset = "1000000"
		return s, cp
	}
	b.Run("save", func(b *testing.B) {
		s, cp := claim(b)
		raw, ctx := open(b), b.Context()
		measure(b,
			func() error { return s.Save(ctx, "orders/billing", cp) },
			func() error { return raw.Update(effect) })
	})
	// The effect's own commit, with the checkpoint in it: what exactly-once costs beside the effect alone.
	b.Run("savetx-with-effect", func(b *testing.B) {
		s, cp := claim(b)
		raw := open(b)
		measure(b, func() error {
			return s.db.Update(func(tx *bbolt.Tx) error {
				if err := effect(tx); err != nil {
					return err
				}
				return s.SaveTx(tx, "orders/billing", cp)
			})
		}, func() error { return raw.Update(effect) })
	})
}

func measure(b *testing.B, save, limit func() error) {
	var spent time.Duration
	b.ReportAllocs()
	for b.Loop() {
		if err := save(); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		begun := time.Now()
		if err := limit(); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(begun)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(b.N)/spent.Seconds(), "limit-records/s")
}
