package postgres

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

// A position is the place of a record. A reader at a position starts at the first record that is not before the
// position.
type position struct {
	turn, batch int64
	no          int32
}

func (p position) String() string { return string(p.append(make([]byte, 0, 32))) }

// append appends the text of p. A page has thousands of places, and fmt would need more processor time.
func (p position) append(b []byte) []byte {
	b = append(strconv.AppendInt(b, p.turn, 10), '.')
	b = append(strconv.AppendInt(b, p.batch, 10), '.')
	return strconv.AppendInt(b, int64(p.no), 10)
}

func (p position) offset() backend.Offset { return backend.Offset(p.String()) }

// behind returns the place behind the record at p. The place is valid whether a record is there or not: the next record of
// the same append has this place, and a reader that starts there finds the first record of the next append otherwise.
func (p position) behind() position { return position{p.turn, p.batch, p.no + 1} }

func (p position) compare(q position) int {
	return cmp.Or(cmp.Compare(p.turn, q.turn), cmp.Compare(p.batch, q.batch), cmp.Compare(p.no, q.no))
}

func parsePosition(o backend.Offset) (p position, err error) {
	parts := strings.Split(string(o), ".")
	if len(parts) == 3 {
		var no int64
		var errs [3]error
		p.turn, errs[0] = strconv.ParseInt(parts[0], 10, 64)
		p.batch, errs[1] = strconv.ParseInt(parts[1], 10, 64)
		no, errs[2] = strconv.ParseInt(parts[2], 10, 32)
		p.no = int32(no)
		// Another text of the same numbers, such as 01.2.3, does not come from this package, so it is refused.
		if errs == [3]error{} && p.offset() == o && p.turn >= 0 && p.batch >= 0 && p.no >= 0 {
			return p, nil
		}
	}
	return position{}, fmt.Errorf("offset %.100q does not belong to this store: %w", o, backend.ErrOutOfRange)
}
