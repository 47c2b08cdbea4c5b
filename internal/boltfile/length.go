package boltfile

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// Where things are in a meta page of bbolt, behind the page's own header, in the byte order of the machine. The checksum is
// FNV-1a of the meta before it.
const (
	metaAt       = 16
	metaMagicAt  = 0
	metaPageSize = 8
	metaPagesAt  = 40 // how many pages there are
	metaTxAt     = 48
	metaSumAt    = 56
	metaBytes    = 64
	metaMagic    = 0xED0CDAED
)

// checkLength refuses a file that is shorter than its newest meta page says. bbolt would touch the pages that are not there.
// It refuses an empty file, too: create never leaves one, and bbolt would take it for a new one. Whatever else is wrong with
// the file is for bbolt to say. An error wraps os.ErrNotExist when there is no file.
func checkLength(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	need, err := lengthOf(f)
	if err != nil {
		return err
	}
	info, err := f.Stat() // after the meta pages: a process that is writing lets the file grow before it refers to more
	switch {
	case err != nil:
		return err
	case info.Size() == 0:
		return fmt.Errorf("%s: %w: it is empty; restore it, or remove it to begin anew", path, ErrDamaged)
	case uint64(info.Size()) < need:
		return fmt.Errorf("%s: %w: it has %d bytes of %d; restore it", path, ErrDamaged, info.Size(), need)
	}
	return nil
}

// lengthOf returns how many bytes the newest meta page needs, 0 when there is none that is whole.
func lengthOf(f io.ReaderAt) (need uint64, err error) {
	pageSize := int64(os.Getpagesize())
	newest := uint64(0)
	for i := range int64(2) {
		var m [metaBytes]byte
		if _, err := f.ReadAt(m[:], i*pageSize+metaAt); err == io.EOF {
			break
		} else if err != nil {
			return 0, err
		}
		sum := fnv.New64a()
		sum.Write(m[:metaSumAt])
		if binary.NativeEndian.Uint32(m[metaMagicAt:]) != metaMagic || binary.NativeEndian.Uint64(m[metaSumAt:]) != sum.Sum64() {
			continue
		}
		pageSize = int64(binary.NativeEndian.Uint32(m[metaPageSize:]))
		if tx := binary.NativeEndian.Uint64(m[metaTxAt:]); tx >= newest {
			newest, need = tx, binary.NativeEndian.Uint64(m[metaPagesAt:])*uint64(pageSize)
		}
	}
	return need, nil
}
