package boltfile

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// Places in a meta page of bbolt, behind the header of the page. Numbers have the byte order of the machine. The
// checksum is FNV-1a of the bytes in front of the checksum.
const (
	metaAt       = 16
	metaMagicAt  = 0
	metaPageSize = 8
	metaPagesAt  = 40 // number of pages
	metaTxAt     = 48
	metaSumAt    = 56
	metaBytes    = 64
	metaMagic    = 0xED0CDAED
)

// checkLength refuses a file shorter than its newest meta page says, because bbolt would touch missing pages.
// checkLength also refuses an empty file: create never leaves an empty file behind, and bbolt would treat the file as
// new. bbolt itself reports every other fault of a file. If there is no file, the error wraps os.ErrNotExist.
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
	// We read the size after the meta pages. Another process may be writing to the file: the other process lets the
	// file grow first, and then writes the meta page for the new part. In the other order, a healthy file could look
	// too short.
	info, err := f.Stat()
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

// lengthOf returns how many bytes the newest meta page needs. lengthOf returns 0 if no meta page is whole.
func lengthOf(f io.ReaderAt) (need uint64, err error) {
	pageSize := int64(os.Getpagesize())
	newest := uint64(0)
	for i := range int64(2) {
		var m [metaBytes]byte
		// The file ends before this meta page. The caller compares the length with the other meta page, if that page is
		// whole.
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
		// The second meta page is one page behind the first. The page size comes from the file, because the file may
		// come from a machine with other pages.
		pageSize = int64(binary.NativeEndian.Uint32(m[metaPageSize:]))
		// The two meta pages take turns. The one with the greater number is in force.
		if tx := binary.NativeEndian.Uint64(m[metaTxAt:]); tx >= newest {
			newest, need = tx, binary.NativeEndian.Uint64(m[metaPagesAt:])*uint64(pageSize)
		}
	}
	return need, nil
}
