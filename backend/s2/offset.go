package s2

import (
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// setOffsets gives the records of a batch their places, which end with suffix. All are cut from one string, in which the
// Next of a record is the Offset of the one behind it.
func setOffsets(b *wire.Batch, suffix string) {
	if b.Seqs != nil { // there are gaps, which is rare
		for i := range b.Records {
			b.Records[i].Offset, b.Records[i].Next = at(b.Seqs[i], suffix), at(b.Seqs[i]+1, suffix)
		}
		return
	}
	n := uint64(len(b.Records))
	num := strconv.AppendUint(make([]byte, 0, 21), b.First, 10)
	width := len(num)
	var all strings.Builder
	all.Grow(int(n+1) * (len(strconv.AppendUint(num[width:], b.First+n, 10)) + len(suffix)))
	for range n + 1 {
		all.Write(num)
		all.WriteString(suffix)
		num = increment(num)
	}
	rest := backend.Offset(all.String())
	longer := uint64(1) // the first number that is one digit longer
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

// increment adds 1 to a decimal number in place. It costs a third of formatting the next one.
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
