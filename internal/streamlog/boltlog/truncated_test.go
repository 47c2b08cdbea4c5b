package boltlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/fnv"
	"os"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
)

func TestTruncatedFile(t *testing.T) {
	path := tempPath(t)
	db := open(t, path)
	sess := openSession(t, stream(db, "s").NewAppender(backend.Format{}))
	for seq := range uint64(20) {
		if err := put(sess, seq, strings.Repeat("x", 20_000)); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{300_000, 100_000, 20_000, 3 * os.Getpagesize(), os.Getpagesize(), 100, 1} {
		if err := os.WriteFile(path, data[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := Open(path, 0o600, 0)
		if err == nil {
			db.Close()
			t.Fatalf("%d bytes were opened", n)
		}
		if n > os.Getpagesize() && !errors.Is(err, errTruncated) || !strings.Contains(err.Error(), path) {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := stored(t, stream(open(t, path), "s")); len(got) != 20*20_000 {
		t.Fatalf("%d bytes in the whole file", len(got))
	}
}

// FuzzLengthOf puts the right checksum under any meta page.
func FuzzLengthOf(f *testing.F) {
	f.Add([]byte{}, uint32(4096), uint64(4), uint64(1))
	f.Add(make([]byte, 10_000), uint32(4096), uint64(1<<60), uint64(1<<60))
	f.Fuzz(func(t *testing.T, data []byte, pageSize uint32, pages, tx uint64) {
		if _, err := lengthOf(bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		if len(data) < metaAt+metaBytes {
			return
		}
		data = bytes.Clone(data)
		m := data[metaAt:]
		binary.NativeEndian.PutUint32(m[metaMagicAt:], metaMagic)
		binary.NativeEndian.PutUint32(m[metaPageSize:], pageSize)
		binary.NativeEndian.PutUint64(m[metaPagesAt:], pages)
		binary.NativeEndian.PutUint64(m[metaTxAt:], tx)
		sum := fnv.New64a()
		sum.Write(m[:metaSumAt])
		binary.NativeEndian.PutUint64(m[metaSumAt:], sum.Sum64())
		need, err := lengthOf(bytes.NewReader(data))
		if err != nil || pageSize > 0 && need != pages*uint64(pageSize) {
			t.Fatalf("%d, %v; want %d pages of %d", need, err, pages, pageSize)
		}
	})
}
