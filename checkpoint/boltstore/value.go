package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// A value consists of a version (1 byte), the epoch (8 bytes), the length of the offset (2 bytes), the offset, Ahead, and
// a checksum (4 bytes) over the key and everything before. Version 1 can still be read, and had neither the length nor
// Ahead. Numbers are big-endian. We need a checksum of our own, because bbolt has checksums for its meta pages only. The
// checksum includes the key: otherwise a page in the wrong place would go unnoticed.
const (
	valueVersion  = 2
	withoutAhead  = 1 // the version before
	epochAt       = 1
	lengthAt      = epochAt + 8
	offsetAt      = lengthAt + 2
	checksumBytes = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(key string, cp checkpoint.Checkpoint) []byte {
	b := make([]byte, 0, offsetAt+len(cp.Offset)+len(cp.Ahead)+checksumBytes)
	b = append(b, valueVersion)
	b = binary.BigEndian.AppendUint64(b, cp.Epoch)
	b = binary.BigEndian.AppendUint16(b, uint16(len(cp.Offset))) // at most checkpoint.OffsetBytes
	b = append(b, cp.Offset...)
	b = append(b, cp.Ahead...)
	return binary.BigEndian.AppendUint32(b, checksum(key, b))
}

// decode reads a value of encode for key. An unknown version is backend.ErrUnsupported. Every other error means damage.
func decode(key string, value []byte) (checkpoint.Checkpoint, error) {
	var none checkpoint.Checkpoint
	least := offsetAt
	switch {
	case len(value) == 0 || value[0] == valueVersion:
	case value[0] == withoutAhead:
		least = lengthAt
	default:
		return none, fmt.Errorf("%w: format version %d, this release reads 1 to %d", backend.ErrUnsupported, value[0], valueVersion)
	}
	end := len(value) - checksumBytes
	if end < least {
		return none, fmt.Errorf("the value has %d bytes, which is fewer than the smallest possible %d", len(value), least+checksumBytes)
	}
	if got, want := binary.BigEndian.Uint32(value[end:]), checksum(key, value[:end]); got != want {
		return none, fmt.Errorf("the stored checksum is %08x, but the checksum of the content is %08x", got, want)
	}
	cp := checkpoint.Checkpoint{Epoch: binary.BigEndian.Uint64(value[epochAt:])}
	if cp.Epoch == 0 || cp.Epoch > math.MaxInt64 {
		return none, errors.New("the epoch is not a number from 1 to 2^63-1")
	}
	if value[0] == withoutAhead {
		cp.Offset = backend.Offset(value[lengthAt:end])
		return cp, nil
	}
	aheadAt := offsetAt + int(binary.BigEndian.Uint16(value[lengthAt:]))
	if aheadAt > end {
		return none, errors.New("the offset is longer than the value")
	}
	cp.Offset, cp.Ahead = backend.Offset(value[offsetAt:aheadAt]), string(value[aheadAt:end])
	if err := checkpoint.CheckAhead(cp); err != nil {
		return none, err
	}
	return cp, nil
}

func checksum(key string, value []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(key), castagnoli), castagnoli, value)
}
