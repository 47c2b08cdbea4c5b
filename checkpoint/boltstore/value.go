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

// A value consists of a version (1 byte), the epoch (8 bytes), the offset, and a checksum (4 bytes) over the key and
// everything before. Numbers are big-endian. We need a checksum of our own, because bbolt has checksums for its meta
// pages only. The checksum includes the key, so that a page in the wrong place is noticed too.
const (
	valueVersion  = 1
	epochAt       = 1
	offsetAt      = epochAt + 8
	checksumBytes = 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encode(key string, cp checkpoint.Checkpoint) []byte {
	b := make([]byte, 0, offsetAt+len(cp.Offset)+checksumBytes)
	b = append(b, valueVersion)
	b = binary.BigEndian.AppendUint64(b, cp.Epoch)
	b = append(b, cp.Offset...)
	return binary.BigEndian.AppendUint32(b, checksum(key, b))
}

// decode reads a value that encode made for key. A version that this release does not know is backend.ErrUnsupported.
// Every other error means damage.
func decode(key string, value []byte) (checkpoint.Checkpoint, error) {
	var none checkpoint.Checkpoint
	if len(value) > 0 && value[0] != valueVersion {
		return none, fmt.Errorf("%w: format version %d, this release reads %d", backend.ErrUnsupported, value[0], valueVersion)
	}
	end := len(value) - checksumBytes
	if end < offsetAt {
		return none, fmt.Errorf("the value has %d bytes, which is fewer than the smallest possible %d", len(value), offsetAt+checksumBytes)
	}
	if got, want := binary.BigEndian.Uint32(value[end:]), checksum(key, value[:end]); got != want {
		return none, fmt.Errorf("the stored checksum is %08x, but the checksum of the content is %08x", got, want)
	}
	cp := checkpoint.Checkpoint{
		Epoch:  binary.BigEndian.Uint64(value[epochAt:]),
		Offset: backend.Offset(value[offsetAt:end]),
	}
	if cp.Epoch == 0 || cp.Epoch > math.MaxInt64 {
		return none, errors.New("the epoch is not a number from 1 to 2^63-1")
	}
	return cp, nil
}

func checksum(key string, value []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(key), castagnoli), castagnoli, value)
}
