package boltfile

import (
	"bytes"
	"encoding/binary"
	"hash/fnv"
	"testing"
)

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
