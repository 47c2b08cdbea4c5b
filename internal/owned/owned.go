// Package owned keeps the memory of an encoding apart from the memory of the value. A codec may break its contract and
// return bytes of the value, or of its own, instead of appending to the destination. Whoever appends to such a result or
// uses its memory again would write over a value that belongs to somebody else.
package owned

import (
	"bytes"
	"slices"
)

// room is how many bytes new memory has behind an encoding. JSON writes a newline behind each value and cuts the newline off.
// Without room, memory of exactly the size of a record would never hold the next record of this size with its newline: each
// record of 1,024 bytes cost an allocation.
const room = 16

// Append returns dst with the bytes behind it that an append-style function has returned in out for dst. The result lies
// in the memory of dst or in new memory, so the caller may append to the result and use its memory again. When out does
// not begin with the bytes of dst, Append returns dst and false.
//
// An out in the memory of dst is returned unchanged. Any other out is copied: nobody can distinguish memory allocated by
// the function from memory of the value. New memory has room for a few bytes more than out.
func Append(dst, out []byte) ([]byte, bool) {
	switch {
	case len(out) < len(dst):
		return dst, false
	case cap(dst) > 0 && cap(out) > 0 && &out[:1][0] == &dst[:1][0]:
		return out, true
	case !bytes.Equal(out[:len(dst)], dst):
		return dst, false
	}
	tail := out[len(dst):]
	if len(tail) > 0 {
		// Also when tail alone would fit: the function has just found too little room in dst.
		dst = slices.Grow(dst, len(tail)+room)
	}
	return append(dst, tail...), true
}
