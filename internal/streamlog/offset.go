package streamlog

import (
	"strconv"

	"github.com/headrace/headrace/backend"
)

// FormatOffset writes a sequence number as the offset of its record: in decimal.
func FormatOffset(seq uint64) backend.Offset { return backend.Offset(strconv.AppendUint(nil, seq, 10)) }

// ParseOffset reads what FormatOffset wrote and nothing else: no sign, no leading zero. Offsets are compared as strings,
// so a place must have one spelling.
func ParseOffset(o backend.Offset) (seq uint64, ok bool) {
	if len(o) > 1 && o[0] == '0' {
		return 0, false
	}
	for i := range len(o) {
		if o[i] < '0' || o[i] > '9' {
			return 0, false
		}
	}
	seq, err := strconv.ParseUint(string(o), 10, 64)
	return seq, err == nil
}

// SetOffsets gives recs their places from first on. All of them are cut from one string: the Next of a record is the
// Offset of the one behind it, so a record costs neither an allocation nor a second spelling.
func SetOffsets(recs []backend.Record, first uint64) {
	if len(recs) == 0 {
		return
	}
	digits := make([]byte, 0, (len(recs)+1)*decimalLen(first+uint64(len(recs))))
	for i := range uint64(len(recs)) + 1 {
		digits = strconv.AppendUint(digits, first+i, 10)
	}
	all := backend.Offset(digits)

	// The length of a decimal changes only at powers of ten, so it is counted on and not measured for every record.
	n := decimalLen(first)
	offset, rest := all[:n], all[n:]
	limit := pow10(n)
	for i := range recs {
		if first+uint64(i)+1 == limit {
			n++
			limit = pow10(n)
		}
		recs[i].Offset = offset
		offset, rest = rest[:n], rest[n:]
		recs[i].Next = offset
	}
}

func decimalLen(n uint64) int {
	l := 1
	for ; n >= 10; n /= 10 {
		l++
	}
	return l
}

// pow10 is the first number with more than n digits; 0, which no seq reaches, when that is above 64 bits.
func pow10(n int) uint64 {
	if n > 19 {
		return 0
	}
	p := uint64(1)
	for range n {
		p *= 10
	}
	return p
}
