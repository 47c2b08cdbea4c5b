package streamlog

import (
	"strconv"

	"github.com/headrace/headrace/backend"
)

// FormatOffset returns the offset of the record with the number seq: the number in decimal.
func FormatOffset(seq uint64) backend.Offset { return backend.Offset(strconv.AppendUint(nil, seq, 10)) }

// ParseOffset reads an offset of FormatOffset and refuses everything else: a sign, a leading zero. Offsets are compared
// as strings, so each place must have exactly one spelling.
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

// SetOffsets gives recs the places from first on. All offsets are parts of one string, and the Next of a record is the
// Offset of the next record. So the offset of a record costs no allocation.
func SetOffsets(recs []backend.Record, first uint64) {
	if len(recs) == 0 {
		return
	}
	digits := make([]byte, 0, (len(recs)+1)*decimalLen(first+uint64(len(recs))))
	for i := range uint64(len(recs)) + 1 {
		digits = strconv.AppendUint(digits, first+i, 10)
	}
	all := backend.Offset(digits)

	// The length of a decimal number changes only at powers of ten. So we compare with the next power of ten instead of
	// measuring every number.
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

// pow10 returns the first number with more than n digits. It returns 0 if that number does not fit into 64 bits. The
// caller compares the result with a seq behind a record, which is never 0.
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
