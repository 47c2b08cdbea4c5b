package checkpoint_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

func BenchmarkSave(b *testing.B) {
	b.Run("memory", func(b *testing.B) { benchmarkSave(b, checkpoint.NewMemory()) })
	b.Run("file", func(b *testing.B) {
		benchmarkSave(b, checkpoint.NewFile(filepath.Join(b.TempDir(), "checkpoints")))
	})
	b.Run("file/1000-keys", func(b *testing.B) {
		path := filepath.Join(b.TempDir(), "checkpoints")
		thousandKeys(b, path)
		benchmarkSave(b, checkpoint.NewFile(path))
	})
	// What a Save to the file cannot be faster than: the same two fsyncs and the rename, and nothing else.
	b.Run("limit=write-fsync-rename-fsync", func(b *testing.B) {
		if runtime.GOOS == "windows" {
			b.Skip("Windows cannot sync a directory")
		}
		dir := b.TempDir()
		content := make([]byte, 100)
		b.ReportAllocs()
		for b.Loop() {
			if err := rawReplace(dir, content); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}

func benchmarkSave(b *testing.B, s checkpoint.Store) {
	cp, err := s.Claim(b.Context(), "orders/billing")
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	offsets := make([]backend.Offset, 1000)
	for i := range offsets {
		offsets[i] = backend.Offset(strconv.Itoa(1_000_000 + i))
	}
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		cp.Offset = offsets[n%len(offsets)]
		n++
		if err := s.Save(ctx, "orders/billing", cp); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// thousandKeys claims so many other keys that every Save has to carry.
func thousandKeys(b *testing.B, path string) {
	s := checkpoint.NewFile(path)
	for i := range 1000 {
		if _, err := s.Claim(b.Context(), "stream-"+strconv.Itoa(i)+"/billing"); err != nil {
			b.Fatal(err)
		}
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
