package boltlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// errTruncated is what a backup that was cut short says.
var errTruncated = errors.New("file is truncated")

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

// checkLength refuses a file that is shorter than its newest meta page says. bbolt maps the file and would touch the pages
// that are not there, for which the system kills the process. Whatever else is wrong with the file is for bbolt to say.
func checkLength(path string) error {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil // it will be created
	}
	if err != nil {
		return err
	}
	defer f.Close()
	need, err := lengthOf(f)
	if err != nil {
		return err
	}
	info, err := f.Stat() // after the meta pages: a process that is writing lets the file grow before it refers to more
	if err != nil {
		return err
	}
	if uint64(info.Size()) < need {
		return fmt.Errorf("%d bytes where there were %d: %w", info.Size(), need, errTruncated)
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
