package durablestreams

import (
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// marks is how many places of messages share a text. A place is the beginning of the text: "<offset>/<n>", and a mark for each
// message behind n, up to marks-1. With a text for each place, the places would take 50 bytes a record, half as much as the
// values of small records.
const marks = 16

// mark is what stands for one message more behind the number of a place.
const mark = '+'

// places makes the places within one response. All texts lie in one string for each batch, so a record costs no allocation.
type places struct {
	text   strings.Builder // String makes no copy, and the text does not move while there is room
	head   []byte          // the beginning of every place, up to the slash behind the offset
	shared bool            // the places count messages, and share texts
	base   int64           // the number in the text being shared
	line   backend.Offset  // the text being shared, with all its marks; "" before the first
}

// placesBehind makes room for the places of the records 0, …, last of a batch.
func (r *reader) placesBehind(last int) *places {
	p := &places{shared: r.as == messages}
	if r.id != "" {
		p.head = append(append(p.head, r.id...), '/')
	}
	p.head = append(append(p.head, r.start...), '/')
	lines, size := last+1, len(p.head)+decimals(r.counts[last])
	if p.shared {
		lines, size = last/marks+2, size+marks-1
	}
	p.text.Grow(lines * size)
	return p
}

// next returns the place with the count n. The counts of a batch only grow, so a text is left for good when the next
// begins.
func (p *places) next(n int64) backend.Offset {
	behind := int64(0)
	if p.shared {
		behind = n % marks
	}
	if base := n - behind; p.line == "" || base != p.base {
		p.base = base
		p.line = p.write(base)
	}
	if !p.shared {
		return p.line
	}
	return p.line[:len(p.line)-(marks-1)+int(behind)]
}

// write writes one text, and returns it as a string without a copy. The text must not outgrow its room: the Builder
// would copy all texts, and the places before would keep the old memory.
func (p *places) write(n int64) backend.Offset {
	from := p.text.Len()
	p.text.Write(p.head)
	var digits [20]byte
	p.text.Write(strconv.AppendInt(digits[:0], n, 10))
	if p.shared {
		for range marks - 1 {
			p.text.WriteByte(mark)
		}
	}
	return backend.Offset(p.text.String()[from:])
}

// decimals is how many decimal digits n has.
func decimals(n int64) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}
