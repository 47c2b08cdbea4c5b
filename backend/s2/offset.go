package s2

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// At makes the offset of a sequence number.
func At(seqNum uint64) backend.Offset { return backend.Offset(strconv.FormatUint(seqNum, 10)) }

// offsetIn makes the offset of a sequence number in an incarnation of the stream: At with a suffix. offsetIn costs one allocation.
// A concatenation of At and suffix would cost two, for each ack.
func offsetIn(seqNum uint64, suffix string) backend.Offset {
	return backend.Offset(append(strconv.AppendUint(make([]byte, 0, 40 /* 20 digits and a suffix */), seqNum, 10), suffix...))
}

// SeqNum returns the sequence number in an offset of this backend. A start such as [backend.Latest] has no sequence number.
// SeqNum also refuses leading zeros: offsets are compared as strings, and a place must have a single spelling.
func SeqNum(o backend.Offset) (uint64, error) {
	num, incarnation, marked := strings.Cut(string(o), incarnationMark)
	n, err := strconv.ParseUint(num, 10, 64)
	if err != nil || string(At(n)) != num || marked && incarnation == "" {
		return 0, fmt.Errorf("s2: offset %q has no sequence number: %w", o, backend.ErrOutOfRange)
	}
	return n, nil
}

// setOffsets gives the records of a batch their offsets. All offsets end with suffix. setOffsets writes them into a single
// string and cuts the string, because an allocation for each record would cost more than decoding the record. The Next of a
// record is the Offset of the record behind, so both share the same bytes.
func setOffsets(b *wire.Batch, suffix string) {
	if b.Seqs != nil { // the sequence numbers have gaps, and gaps are rare
		for i := range b.Records {
			b.Records[i].Offset, b.Records[i].Next = offsetIn(b.Seqs[i], suffix), offsetIn(b.Seqs[i]+1, suffix)
		}
		return
	}
	n := uint64(len(b.Records))
	num := strconv.AppendUint(make([]byte, 0, 21 /* 20 digits, and one more for increment */), b.First, 10)
	width := len(num)
	var all strings.Builder
	all.Grow(int(n+1) * (len(strconv.AppendUint(num[width:], b.First+n, 10)) + len(suffix)))
	for range n + 1 {
		all.Write(num)
		all.WriteString(suffix)
		num = increment(num)
	}
	rest := backend.Offset(all.String())
	longer := uint64(1) // the next number with another digit: from there on, offsets are a byte longer
	for range width {
		longer *= 10
	}
	width += len(suffix)
	at, rest := rest[:width], rest[width:]
	for i := range b.Records {
		if b.First+uint64(i)+1 == longer {
			longer *= 10
			width++
		}
		b.Records[i].Offset = at
		at, rest = rest[:width], rest[width:]
		b.Records[i].Next = at
	}
}

// increment adds 1 to a decimal number in place. An increment takes a third of the time of formatting the next number.
func increment(num []byte) []byte {
	for i := len(num) - 1; i >= 0; i-- {
		if num[i] != '9' {
			num[i]++
			return num
		}
		num[i] = '0'
	}
	num = append(num, '0')
	num[0] = '1'
	return num
}
