package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errTruncated = errors.New("malformed message: cut short")

// A tag is the number of a field and the wire type of its value.
const (
	varint    = 0
	delimited = 2 // a length, then the bytes
)

// next reads the tag and the bounds of the first field in p. For a varint, val is the value. For bytes, p[from:to] are
// the bytes. The next field begins at to. The caller skips fields that it does not know. Groups are an error, because
// proto3 has none. If p does not begin with a field, to is 0, and malformed returns the reason. All results fit into
// registers. Returning a struct and an error would take three times as long.
func next(p []byte) (tag, val uint64, from, to int) {
	n := 1
	if p[0] < 0x80 { // every field that we know has a tag of one byte
		tag = uint64(p[0])
	} else if tag, n = binary.Uvarint(p); n <= 0 {
		return 0, 0, 0, 0
	}
	// Field numbers go from 1 to 2^29-1.
	if tag < 1<<3 || tag >= 1<<32 {
		return 0, 0, 0, 0
	}
	var size uint64
	switch tag & 7 {
	case varint:
		v, m := binary.Uvarint(p[n:])
		if m <= 0 {
			return 0, 0, 0, 0
		}
		return tag, v, n, n + m
	case delimited:
		m := 1
		if n < len(p) && p[n] < 0x80 {
			size = uint64(p[n])
		} else if size, m = binary.Uvarint(p[n:]); m <= 0 {
			return 0, 0, 0, 0
		}
		// n is now behind the length, where the bytes begin.
		n += m
	case 1:
		size = 8
	case 5:
		size = 4
	default:
		return 0, 0, 0, 0
	}
	// Compared as unsigned numbers: a length near 2^64 must not become a negative one.
	if size > uint64(len(p)-n) {
		return 0, 0, 0, 0
	}
	return tag, 0, n, n + int(size)
}

// malformed returns the reason why next found no field in p. It parses the tag again, because next has no room for a
// reason, and a damaged message is rare.
func malformed(p []byte) error {
	tag, n := binary.Uvarint(p)
	switch {
	case n <= 0:
		return errTruncated
	case tag < 1<<3 || tag >= 1<<32:
		return fmt.Errorf("malformed message: field number %d", tag>>3)
	case tag&7 == 3 || tag&7 == 4 || tag&7 > 5:
		return fmt.Errorf("malformed message: wire type %d", tag&7)
	}
	return errTruncated
}

// mergePosition reads a StreamPosition into pos. If a message contains the position twice, the later values replace the
// earlier ones, as protobuf demands. An absent field leaves the value as it is: proto3 does not write zeros.
func mergePosition(pos *Position, p []byte) error {
	for len(p) > 0 {
		tag, val, _, to := next(p)
		if to == 0 {
			return malformed(p)
		}
		switch tag {
		case 1<<3 | varint:
			pos.SeqNum = val
		case 2<<3 | varint:
			pos.Timestamp = val
		}
		p = p[to:]
	}
	return nil
}

// An Ack is a decoded AppendAck. A missing position is zero.
type Ack struct{ Start, End, Tail Position }

// DecodeAck reads an AppendAck. Unknown fields are passed over, so a newer server may add some.
func DecodeAck(p []byte) (a Ack, err error) {
	for len(p) > 0 {
		tag, _, from, to := next(p)
		if to == 0 {
			return Ack{}, malformed(p)
		}
		switch tag {
		case 1<<3 | delimited:
			err = mergePosition(&a.Start, p[from:to])
		case 2<<3 | delimited:
			err = mergePosition(&a.End, p[from:to])
		case 3<<3 | delimited:
			err = mergePosition(&a.Tail, p[from:to])
		}
		if err != nil {
			return Ack{}, err
		}
		p = p[to:]
	}
	return a, nil
}
