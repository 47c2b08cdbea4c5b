// Package ahead writes and reads Checkpoint.Ahead: which records behind the place of a checkpoint are done already.
//
// Records are counted from 0, in the order of a reader opened at the place. Offsets cannot be compared, so a count is the
// only short name of a record that a later reader knows, too. A count is right only as long as readers return the same
// records. An operator may change the place by hand, and a source may begin to filter out other records. Then a wrong
// count would make the consumer leave out records that are not done. Therefore the text holds a hash of the place, and a
// hash of the first record of each run: a count that does not fit is noticed.
package ahead

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// Bytes is the limit of a text. A text of this length fits into a row or a page of all known stores.
const Bytes = 8 << 10

// Runs is how many runs fit into a text, in a window of up to 2^24 records: a run has two numbers, of 3 bytes at most on average, and a
// hash of 2 bytes, and the hash of the place takes the room of one run.
const Runs = Bytes/8 - 1

// A Run is a number of done records in a row: From, From+1, … To-1.
type Run struct {
	From, To uint64
	Mark     uint16 // of the offset of the record From; see [Mark]
}

var (
	// ErrOtherPlace is returned for a text that was written for another place.
	ErrOtherPlace = errors.New("the list of done records belongs to another offset")

	errDamaged = errors.New("the list of done records is damaged")
)

// Mark returns a hash of an offset.
func Mark(at backend.Offset) uint16 { h := hash(at); return uint16(h ^ h>>16) }

// hash is FNV-1a of 32 bits, which needs no memory of its own.
func hash(at backend.Offset) uint32 {
	h := uint32(2166136261)
	for i := range len(at) {
		h = (h ^ uint32(at[i])) * 16777619
	}
	return h
}

// Encode writes runs, counted from the place at. The runs must be in order, and between two runs there must be at least
// one record. Runs behind the limit of [Bytes] are left out; their records run again. Without runs the text is empty.
//
// The text begins with the hash of the place (4 bytes). For each run follow the number of unfinished records before the
// run, the number of records in the run, and its Mark (2 bytes). A run at the place itself has no Mark, because the
// record there may not be known; the hash of the place takes the part of the Mark.
func Encode(at backend.Offset, runs []Run) string {
	if len(runs) == 0 {
		return ""
	}
	b := binary.BigEndian.AppendUint32(make([]byte, 0, min(4+8*len(runs), Bytes)), hash(at))
	end := uint64(0)
	for _, r := range runs {
		size := len(b)
		b = binary.AppendUvarint(b, r.From-end)
		b = binary.AppendUvarint(b, r.To-r.From)
		if r.From > 0 {
			b = binary.BigEndian.AppendUint16(b, r.Mark)
		}
		if len(b) > Bytes {
			return string(b[:size])
		}
		end = r.To
	}
	return string(b)
}

// Decode reads a text of Encode. Decode returns [ErrOtherPlace] for a sound text of another place than at.
func Decode(at backend.Offset, text string) ([]Run, error) {
	if text == "" {
		return nil, nil
	}
	if len(text) > Bytes {
		return nil, fmt.Errorf("%w: it has %d bytes, the limit is %d", errDamaged, len(text), Bytes)
	}
	b := []byte(text)
	if len(b) < 4 {
		return nil, fmt.Errorf("%w: it has only %d bytes", errDamaged, len(b))
	}
	place, b := binary.BigEndian.Uint32(b), b[4:]
	var runs []Run
	for end := uint64(0); len(b) > 0 || len(runs) == 0; end = runs[len(runs)-1].To {
		r, rest, ok := decodeRun(b, end)
		if !ok {
			return nil, fmt.Errorf("%w at byte %d", errDamaged, len(text)-len(b))
		}
		runs, b = append(runs, r), rest
	}
	if place != hash(at) {
		return nil, ErrOtherPlace
	}
	return runs, nil
}

// decodeRun reads the run behind the record end. Encode writes each run in one way only, and decodeRun refuses all
// others.
func decodeRun(b []byte, end uint64) (r Run, rest []byte, ok bool) {
	const most = 1 << 48 // records; sums stay far from the end of uint64
	gap, n := binary.Uvarint(b)
	if n <= 0 || gap > most || gap == 0 && end > 0 {
		return r, nil, false
	}
	b = b[n:]
	records, n := binary.Uvarint(b)
	if n <= 0 || records > most || records == 0 {
		return r, nil, false
	}
	b = b[n:]
	r.From = end + gap
	r.To = r.From + records
	if r.From > 0 {
		if len(b) < 2 {
			return r, nil, false
		}
		r.Mark, b = binary.BigEndian.Uint16(b), b[2:]
	}
	return r, b, true
}
