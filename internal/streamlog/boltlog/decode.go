package boltlog

import (
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/headrace/headrace/backend"
)

// blockCount returns the number of records in a block. It reads only the head, and does not check the checksum. So the
// count may be wrong if decode would refuse the block.
func blockCount(data []byte) (uint64, error) {
	if len(data) < 2+trailerBytes {
		return 0, fmt.Errorf("%d bytes: %w", len(data), errCorrupt)
	}
	if data[0] != blockVersion {
		return 0, fmt.Errorf("version %d, want %d: %w", data[0], blockVersion, errCorrupt)
	}
	n, size := binary.Uvarint(data[1 : len(data)-trailerBytes])
	// A record takes at least two bytes. So a larger count is wrong, and allocating memory for it would be dangerous.
	if size <= 0 || n == 0 || n > uint64(len(data))/2 {
		return 0, fmt.Errorf("count: %w", errCorrupt)
	}
	return n, nil
}

// blockLatest returns the latest time of all records up to the end of a block. The caller has checked the length of the
// block with blockCount.
func blockLatest(data []byte) int64 {
	return int64(binary.LittleEndian.Uint64(data[len(data)-trailerBytes:]))
}

// decode appends the records of a block to out, and returns out. first is the seq of the first record of the block.
// decode leaves out the records before from, and appends at most room records. The records alias data.
//
// The checksum covers the whole block, and decode checks it first. So the later checks only find blocks that were
// written wrongly. decode must not panic on such blocks either.
func decode(out []backend.Record, data []byte, first, from uint64, room int) ([]backend.Record, error) {
	n, err := blockCount(data)
	if err != nil {
		return out, err
	}
	body, trailer := data[:len(data)-trailerBytes], data[len(data)-trailerBytes:]
	if sum := binary.LittleEndian.Uint32(trailer[8:]); sum != checksum(body, trailer[:8], first) {
		return out, fmt.Errorf("checksum: %w", errCorrupt)
	}
	// The version was checked by blockCount, and the count is read again to get past it.
	d := decoder{rest: body[1:]}
	d.uvarint()
	var last int64
	at := time.Unix(0, last).UTC()
	for i := range n {
		// Most records have the time of the record before them.
		if elapsed := d.varint(); elapsed != 0 {
			last += elapsed
			at = time.Unix(0, last).UTC()
		}
		length := d.uvarint()
		var headers backend.Headers
		if length&1 == 1 {
			headers = d.headers(out)
		}
		value := d.bytes(length >> 1)
		if d.bad {
			return out, fmt.Errorf("record %d: %w", first+i, errCorrupt)
		}
		// A record before from is decoded too, because the times of later records build on it.
		if first+i >= from && room > 0 {
			// The room behind out holds zero records. To append a whole record would take twice as long as to set three fields.
			if len(out) == cap(out) {
				out = slices.Grow(out, 1)
			}
			out = out[:len(out)+1]
			r := &out[len(out)-1]
			r.Value, r.Headers, r.Time = value, headers, at
			room--
		}
	}
	// Bytes behind the last record mean that count and records do not belong together, although the checksum is right.
	// The block was written wrongly, and its records cannot be trusted.
	if len(d.rest) > 0 {
		return out, fmt.Errorf("%d bytes behind the last record: %w", len(d.rest), errCorrupt)
	}
	return out, nil
}

// A decoder reads values from rest, until a value does not fit. From then on bad is true, and all further values are
// zero. So the caller checks for errors only once for each record.
type decoder struct {
	rest []byte
	bad  bool
}

// varint reads a number as binary.AppendVarint writes it.
func (d *decoder) varint() int64 {
	v := d.uvarint()
	if v&1 != 0 {
		return ^int64(v >> 1)
	}
	return int64(v >> 1)
}

// uvarint has fast paths, because most numbers fit into one or two bytes.
func (d *decoder) uvarint() uint64 {
	switch b := d.rest; {
	case len(b) > 0 && b[0] < 0x80:
		d.rest = b[1:]
		return uint64(b[0])
	case len(b) > 1 && b[1] < 0x80:
		d.rest = b[2:]
		return uint64(b[0]&0x7f) | uint64(b[1])<<7
	}
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	return v
}

// skip goes past n bytes. n is 0 or less when the number before did not fit or was too large.
func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad, d.rest, n = true, nil, 0
	}
	d.rest = d.rest[n:]
}

// bytes returns the next n bytes, without a copy. The capacity ends with the value, so an append of the caller cannot
// overwrite the next record.
func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// headers reads the headers of one record. In most streams all records have the same names in the same order, so we
// take the names from the record before. Then a name costs no allocation, and no string aliases bytes that belong to
// the caller.
func (d *decoder) headers(before []backend.Record) backend.Headers {
	n := d.uvarint()
	// A header takes at least two bytes, so a larger count is wrong.
	if n == 0 || n > uint64(len(d.rest))/2 {
		d.bad = true
		return nil
	}
	var known backend.Headers
	if len(before) > 0 {
		known = before[len(before)-1].Headers
	}
	hs := make(backend.Headers, n)
	for i := range hs {
		name := d.bytes(d.uvarint())
		if i < len(known) && known[i].Name == string(name) {
			hs[i].Name = known[i].Name
		} else {
			hs[i].Name = string(name)
		}
		hs[i].Value = d.bytes(d.uvarint())
	}
	return hs
}
