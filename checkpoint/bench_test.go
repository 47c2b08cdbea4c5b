package checkpoint_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// BenchmarkSave measures a Save to the file beside what it cannot be faster than: the same two fsyncs and the rename, and
// nothing else. The two alternate, because a disk has moods.
func BenchmarkSave(b *testing.B) {
	b.Run("memory", func(b *testing.B) { benchmarkSave(b, checkpoint.NewMemory(), nil) })
	b.Run("file", func(b *testing.B) {
		benchmarkSave(b, checkpoint.NewFile(filepath.Join(b.TempDir(), "checkpoints")), rawReplace)
	})
	b.Run("file/1000-keys", func(b *testing.B) {
		s := checkpoint.NewFile(filepath.Join(b.TempDir(), "checkpoints"))
		for i := range 1000 {
			if _, err := s.Claim(b.Context(), "stream-"+strconv.Itoa(i)+"/billing"); err != nil {
				b.Fatal(err)
			}
		}
		benchmarkSave(b, s, rawReplace)
	})
}

func benchmarkSave(b *testing.B, s checkpoint.Store, limit func(dir string, content []byte) error) {
	ctx, dir, content := b.Context(), b.TempDir(), make([]byte, 100)
	cp, err := s.Claim(ctx, "orders/billing")
	if err != nil {
		b.Fatal(err)
	}
	cp.Offset = backend.Offset("1000000")
	var spent time.Duration
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Save(ctx, "orders/billing", cp); err != nil {
			b.Fatal(err)
		}
		if limit == nil || runtime.GOOS == "windows" { // where no directory can be synced
			continue
		}
		b.StopTimer()
		begun := time.Now()
		if err := limit(dir, content); err != nil {
			b.Fatal(err)
		}
		spent += time.Since(begun)
		b.StartTimer()
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	if spent > 0 {
		b.ReportMetric(float64(b.N)/spent.Seconds(), "limit-records/s")
	}
}

func rawReplace(dir string, content []byte) error {
	f, err := os.Create(filepath.Join(dir, "new"))
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, "old")); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
