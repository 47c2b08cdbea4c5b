package s2

import (
	"strconv"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// setOffsets gives the records of a batch their places. All are cut from one string, in which the Next of a record is the
// Offset of the one behind it; only a gap in the numbers needs a second spelling.
func setOffsets(b *wire.Batch) {
	n := len(b.Records)
	if n == 0 {
		return
	}
	digits := make([]byte, 0, (n+2)*decimalLen(b.Seq(n-1)+1))
	if b.Seqs != nil {
		digits = make([]byte, 0, 2*cap(digits))
	}
	for i := range n {
		seq := b.Seq(i)
		digits = strconv.AppendUint(digits, seq, 10)
		if i == n-1 || b.Seqs != nil {
			digits = strconv.AppendUint(digits, seq+1, 10)
		}
	}
	rest := backend.Offset(digits)
	cut := func(seq uint64) backend.Offset {
		l := decimalLen(seq)
		o := rest[:l]
		rest = rest[l:]
		return o
	}
	if b.Seqs != nil {
		for i := range b.Records {
			b.Records[i].Offset, b.Records[i].Next = cut(b.Seqs[i]), cut(b.Seqs[i]+1)
		}
		return
	}
	at := cut(b.First)
	for i := range b.Records {
		b.Records[i].Offset = at
		at = cut(b.First + uint64(i) + 1)
		b.Records[i].Next = at
	}
}

func decimalLen(n uint64) int {
	l := 1
	for ; n >= 10; n /= 10 {
		l++
	}
	return l
}
