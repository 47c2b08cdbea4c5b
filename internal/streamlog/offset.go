package streamlog

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// incarnationMark separates the two parts of an offset: the sequence number, and the incarnation of the stream.
const incarnationMark = "@"

// NewIncarnation returns a random name of 11 characters for a new stream. Every stream counts from 0. Without the name,
// a place in a deleted stream would look like a place in the next stream with the same address, and a consumer would
// skip records of the new stream.
func NewIncarnation() string {
	var id [8]byte
	rand.Read(id[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(id[:])
}

// FormatOffset returns the offset of the record with the number seq: the number in decimal, and behind it the
// incarnation of the stream. Streams that are older than incarnations have the incarnation "", and their offsets are
// bare numbers.
func FormatOffset(seq uint64, incarnation string) backend.Offset {
	digits := strconv.FormatUint(seq, 10)
	if incarnation == "" {
		return backend.Offset(digits)
	}
	return backend.Offset(digits + incarnationMark + incarnation)
}

// ParseOffset reads an offset of FormatOffset. It refuses everything else, for example a sign or a leading zero.
// Offsets are compared as strings, so each place must have exactly one spelling.
func ParseOffset(o backend.Offset) (seq uint64, incarnation string, ok bool) {
	digits, incarnation, marked := strings.Cut(string(o), incarnationMark)
	if len(digits) > 1 && digits[0] == '0' || marked && incarnation == "" {
		return 0, "", false
	}
	for i := range len(digits) {
		if digits[i] < '0' || digits[i] > '9' {
			return 0, "", false
		}
	}
	seq, err := strconv.ParseUint(digits, 10, 64)
	return seq, incarnation, err == nil
}

// SetOffsets sets the offsets of recs: the places from first on, in the given incarnation. All offsets are parts of one
// string, and the Next of a record is the Offset of the next record. So the offsets of all records cost one allocation.
func SetOffsets(recs []backend.Record, first uint64, incarnation string) {
	if len(recs) == 0 {
		return
	}
	suffix := incarnation
	if suffix != "" {
		suffix = incarnationMark + suffix
	}
	var all strings.Builder
	all.Grow((len(recs) + 1) * (decimalLen(first+uint64(len(recs))) + len(suffix)))
	var digits [20]byte
	for i := range uint64(len(recs)) + 1 {
		all.Write(strconv.AppendUint(digits[:0], first+i, 10))
		all.WriteString(suffix)
	}
	// All offsets are written first and cut afterwards. The string of a Builder costs no copy.
	rest := backend.Offset(all.String())

	// The number of digits changes only at powers of ten. So we compare with the next power of ten, and need not
	// measure every number.
	n := decimalLen(first)
	limit := pow10(n)
	offset := rest[:n+len(suffix)]
	rest = rest[n+len(suffix):]
	for i := range recs {
		if first+uint64(i)+1 == limit {
			n++
			limit = pow10(n)
		}
		recs[i].Offset = offset
		offset, rest = rest[:n+len(suffix)], rest[n+len(suffix):]
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

// pow10 returns the first number with more than n digits, or 0 if the number does not fit into 64 bits. The caller
// compares the result with a seq behind a record, which is never 0.
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
