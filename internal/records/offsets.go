package records

import (
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// SetOffsets gives recs the offsets of a store that numbers its records without gaps: the number in decimal, first for the first
// record, and suffix behind each number. All offsets are parts of one string, because an allocation for each record would cost
// more than decoding the record. The Next of a record is the Offset of the record behind, so both share the same bytes.
func SetOffsets(recs []backend.Record, first uint64, suffix string) {
	if len(recs) == 0 {
		return
	}
	rest := offsetsFrom(first, uint64(len(recs)+1), suffix)
	width := digits(first)
	// longer is the next number with one more digit: from there on, offsets are a byte longer. No such number behind 1e19 fits into
	// 64 bits; longer is then below first, and the loop never meets it.
	longer := uint64(1)
	for range width {
		longer *= 10
	}
	width += len(suffix)
	at, rest := rest[:width], rest[width:]
	for i := range recs {
		if first+uint64(i)+1 == longer {
			longer *= 10
			width++
		}
		recs[i].Offset = at
		at, rest = rest[:width], rest[width:]
		recs[i].Next = at
	}
}

// offsetsFrom returns the offsets of n numbers from first on, without anything between them.
//
// The offsets of ten numbers that differ in the last digit alone are written at once: a batch then takes 7 ns a record. To format
// each number takes 15 ns, and to increment the text of the number before takes 9 ns.
func offsetsFrom(first, n uint64, suffix string) backend.Offset {
	var all strings.Builder // its String makes no copy
	all.Grow(int(n) * (digits(first+n-1) + len(suffix)))
	tens, digit := first/10, first%10
	ten := tenOffsets(make([]byte, 0, 400), tens, suffix) // on the stack: room for 20 digits, and as many bytes of a suffix
	for {
		width := len(ten) / 10
		some := min(n, 10-digit)
		all.Write(ten[int(digit)*width : int(digit+some)*width])
		if n -= some; n == 0 {
			return backend.Offset(all.String())
		}
		tens, digit = tens+1, 0
		if last := width - len(suffix) - 1; !incrementAll(ten, width, last) {
			ten = tenOffsets(ten[:0], tens, suffix)
		}
	}
}

// tenOffsets appends the offsets of the ten numbers from 10*tens on.
func tenOffsets(dst []byte, tens uint64, suffix string) []byte {
	for digit := range byte(10) {
		if tens > 0 {
			dst = strconv.AppendUint(dst, tens, 10)
		}
		dst = append(append(dst, '0'+digit), suffix...)
	}
	return dst
}

// incrementAll adds 1 to decimal numbers of equal length in place. The numbers are equal, have the length digits, and one
// begins at every width bytes. incrementAll returns false, and leaves the numbers without a meaning, when they need another digit.
func incrementAll(numbers []byte, width, digits int) bool {
	at := digits - 1 // the last digit that is no 9
	for at >= 0 && numbers[at] == '9' {
		at--
	}
	if at < 0 {
		return false
	}
	for ; len(numbers) > 0; numbers = numbers[width:] {
		numbers[at]++
		for i := at + 1; i < digits; i++ {
			numbers[i] = '0'
		}
	}
	return true
}

// digits returns how many decimal digits n has.
func digits(n uint64) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}
