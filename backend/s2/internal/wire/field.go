package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
)

var errTruncated = errors.New("malformed message: cut short")

// A field is one tag and its value, as read by next.
type field struct {
	num  uint64
	kind uint8  // the wire type: 0 varint, 2 bytes
	val  uint64 // of a varint
	data []byte // of bytes; aliases the message
}

// next reads the field at the front of p and returns what is behind it. Fields of other kinds are skipped by whoever does
// not know them, groups excepted: proto3 has none.
func next(p []byte) (f field, rest []byte, err error) {
	var tag uint64
	if len(p) > 0 && p[0] < 0x80 { // all fields known here
		tag, p = uint64(p[0]), p[1:]
	} else {
		n := 0
		if tag, n = binary.Uvarint(p); n <= 0 {
			return f, nil, errTruncated
		}
		p = p[n:]
	}
	f.num, f.kind = tag>>3, uint8(tag&7)
	if f.num == 0 || f.num > 1<<29-1 {
		return f, nil, fmt.Errorf("malformed message: field number %d", f.num)
	}
	switch f.kind {
	case 0:
		v, n := binary.Uvarint(p)
		if n <= 0 {
			return f, nil, errTruncated
		}
		f.val = v
		return f, p[n:], nil
	case 2:
		size, n := uint64(0), 1
		if len(p) > 0 && p[0] < 0x80 {
			size = uint64(p[0])
		} else if size, n = binary.Uvarint(p); n <= 0 {
			return f, nil, errTruncated
		}
		p = p[n:]
		if size > uint64(len(p)) {
			return f, nil, errTruncated
		}
		f.data = p[:size:size]
		return f, p[size:], nil
	case 1, 5:
		size := 8
		if f.kind == 5 {
			size = 4
		}
		if len(p) < size {
			return f, nil, errTruncated
		}
		return f, p[size:], nil
	}
	return f, nil, fmt.Errorf("malformed message: wire type %d", f.kind)
}

// mergePosition reads a StreamPosition into pos: a sub-message given twice is merged.
func mergePosition(pos *Position, p []byte) error {
	for len(p) > 0 {
		f, rest, err := next(p)
		if err != nil {
			return err
		}
		if f.kind == 0 && f.num == 1 {
			pos.SeqNum = f.val
		}
		if f.kind == 0 && f.num == 2 {
			pos.Timestamp = f.val
		}
		p = rest
	}
	return nil
}

// An Ack is a decoded AppendAck. Absent positions are zero.
type Ack struct{ Start, End, Tail Position }

// DecodeAck reads an AppendAck.
func DecodeAck(p []byte) (a Ack, err error) {
	for len(p) > 0 {
		var f field
		if f, p, err = next(p); err != nil {
			return Ack{}, err
		}
		if f.kind != 2 {
			continue
		}
		switch f.num {
		case 1:
			err = mergePosition(&a.Start, f.data)
		case 2:
			err = mergePosition(&a.End, f.data)
		case 3:
			err = mergePosition(&a.Tail, f.data)
		}
		if err != nil {
			return Ack{}, err
		}
	}
	return a, nil
}
