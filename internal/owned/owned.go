// Package owned keeps the memory of an encoding apart from the memory of the value. A codec may break its contract and
// return bytes of the value, or of its own, instead of appending to the destination. Whoever appends to such a result or
// uses its memory again would write over a value that belongs to somebody else.
package owned

import "bytes"

// Append returns dst with the bytes behind it that an append-style function has returned in out for dst. The result lies
// in the memory of dst or in new memory, so the caller may append to it and use it again. It reports false when out does
// not begin with the bytes of dst, and returns dst then.
//
// An out in the memory of dst is returned as it is. Any other out is copied: memory that the function's append has
// allocated looks like memory of the value.
func Append(dst, out []byte) ([]byte, bool) {
	switch {
	case len(out) < len(dst):
		return dst, false
	case cap(dst) > 0 && cap(out) > 0 && &out[:1][0] == &dst[:1][0]:
		return out, true
	case !bytes.Equal(out[:len(dst)], dst):
		return dst, false
	}
	return append(dst, out[len(dst):]...), true
}
