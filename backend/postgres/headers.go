package postgres

import (
	"encoding/binary"
	"errors"

	"github.com/headrace/headrace/backend"
)

// encodeHeaders encodes headers for one column: name and value of each header, each behind its length as a varint. NULL
// means no headers.
func encodeHeaders(hs backend.Headers) []byte {
	// Most records have no headers, and NULL takes no room in the row.
	if len(hs) == 0 {
		return nil
	}
	var b []byte
	for _, h := range hs {
		b = append(binary.AppendUvarint(b, uint64(len(h.Name))), h.Name...)
		b = append(binary.AppendUvarint(b, uint64(len(h.Value))), h.Value...)
	}
	return b
}

var errHeaders = errors.New("the column of headers is damaged")

func decodeHeaders(b []byte) (hs backend.Headers, err error) {
	// Values are parts of b and are not copied: the arena of the page holds b for as long as a record is used.
	for len(b) > 0 {
		var name, value []byte
		if name, b, err = cut(b); err != nil {
			return nil, err
		}
		if value, b, err = cut(b); err != nil {
			return nil, err
		}
		hs = append(hs, backend.Header{Name: string(name), Value: value})
	}
	return hs, nil
}

// cut returns the first piece of b and what is behind it. Somebody may have changed the column by hand: without the check
// of the length, a wrong length would end the process.
func cut(b []byte) (piece, rest []byte, err error) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, errHeaders
	}
	end := used + int(n)
	// The capacity ends at the piece, so a caller that appends to a value does not write into the next header.
	return b[used:end:end], b[end:], nil
}
