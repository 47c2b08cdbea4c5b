package streamlog

import (
	"crypto/rand"
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/records"
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

// SetOffsets sets the offsets of recs: the places from first on, in the given incarnation.
func SetOffsets(recs []backend.Record, first uint64, incarnation string) {
	suffix := incarnation
	if suffix != "" {
		suffix = incarnationMark + suffix
	}
	records.SetOffsets(recs, first, suffix)
}
