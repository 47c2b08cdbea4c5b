package boltlog

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// blockCount returns how many records a block holds, by its head alone. It may be wrong where decode would complain.
func blockCount(data []byte) (uint64, error) {
	if len(data) < 2+trailerBytes {
		return 0, fmt.Errorf("%d bytes: %w", len(data), errCorrupt)
	}
	if data[0] != blockVersion {
		return 0, fmt.Errorf("version %d, want %d: %w", data[0], blockVersion, errCorrupt)
	}
	n, size := binary.Uvarint(data[1 : len(data)-trailerBytes])
	// A record takes two bytes at least, so a larger count is none, and nobody allocates for it.
	if size <= 0 || n == 0 || n > uint64(len(data))/2 {
		return 0, fmt.Errorf("count: %w", errCorrupt)
	}
	return n, nil
}

// blockLatest returns the latest time of all records up to the end of a block that has a count.
func blockLatest(data []byte) int64 {
	return int64(binary.LittleEndian.Uint64(data[len(data)-trailerBytes:]))
}

// decode appends the records of the block whose first record is first to out, without those before from and at most room.
// They alias data. The checksum is over the whole block and comes first, so what is behind it is only there for blocks
// that were written wrong; it must not panic on them either.
func decode(out []backend.Record, data []byte, first, from uint64, room int) ([]backend.Record, error) {
	n, err := blockCount(data)
	if err != nil {
		return out, err
	}
	body, trailer := data[:len(data)-trailerBytes], data[len(data)-trailerBytes:]
	if sum := binary.LittleEndian.Uint32(trailer[8:]); sum != checksum(body, trailer[:8], first) {
		return out, fmt.Errorf("checksum: %w", errCorrupt)
	}
	d := decoder{rest: body[1:]}
	d.uvarint()
	var last int64
	for i := range n {
		last += d.varint()
		length := d.uvarint()
		var headers backend.Headers
		if length&1 == 1 {
			headers = d.headers(out)
		}
		value := d.bytes(length >> 1)
		if d.bad {
			return out, fmt.Errorf("record %d: %w", first+i, errCorrupt)
		}
		if first+i >= from && room > 0 {
			out = append(out, backend.Record{Value: value, Headers: headers, Time: time.Unix(0, last).UTC()})
			room--
		}
	}
	if len(d.rest) > 0 {
		return out, fmt.Errorf("%d bytes behind the last record: %w", len(d.rest), errCorrupt)
	}
	return out, nil
}

// decoder reads on until something does not fit, and is bad from then on.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.rest)
	d.skip(n)
	return v
}

func (d *decoder) uvarint() uint64 {
	if len(d.rest) > 0 && d.rest[0] < 0x80 {
		v := d.rest[0]
		d.rest = d.rest[1:]
		return uint64(v)
	}
	v, n := binary.Uvarint(d.rest)
	d.skip(n)
	return v
}

func (d *decoder) skip(n int) {
	if n <= 0 {
		d.bad, d.rest, n = true, nil, 0
	}
	d.rest = d.rest[n:]
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return nil
	}
	b := d.rest[:n:n]
	d.rest = d.rest[n:]
	return b
}

// headers reads the headers of one record. Streams tend to repeat the names in the same places, so those of the record
// before are used again: a name then costs no allocation, and no string aliases bytes that belong to the caller.
func (d *decoder) headers(before []backend.Record) backend.Headers {
	n := d.uvarint()
	if n == 0 || n > uint64(len(d.rest))/2 { // a header takes two bytes at least
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
