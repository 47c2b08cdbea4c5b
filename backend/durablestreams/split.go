package durablestreams

import "bytes"

// A splitter finds the messages of a JSON array that comes in pieces. It looks no closer than it has to: the values are the
// decoder's business, and a server has checked them already. It does not allocate.
type splitter struct {
	phase phase
	from  int // where the message begins that is being scanned
	at    int // scanned up to here
	depth int // open brackets within the message
	quote int // where the string begins that is being scanned, -1 outside of one
}

type phase byte

const (
	beforeArray phase = iota
	beforeFirst       // a value or the end of the array
	beforeValue
	inValue
	afterArray
)

// next returns the bounds of the next message in b, or not ok when b has to grow first. Between calls b may only grow,
// or lose what is before from: see dropped.
func (s *splitter) next(b []byte) (lo, hi int, ok bool, err error) {
	for s.at < len(b) {
		c := b[s.at]
		if s.phase != inValue {
			if c == ' ' || c == '\n' || c == '\r' || c == '\t' {
				s.at++
				continue
			}
			switch {
			case s.phase == beforeArray && c == '[':
				s.phase = beforeFirst
				s.at++
				continue
			case s.phase == beforeArray || s.phase == afterArray:
				return 0, 0, false, malformed("not one JSON array")
			case s.phase == beforeFirst && c == ']':
				s.phase = afterArray
				s.at++
				continue
			case c == ',' || c == ']':
				return 0, 0, false, malformed("a message of the JSON array is missing")
			}
			s.phase, s.from, s.depth, s.quote = inValue, s.at, 0, -1
		}
		end, err := s.scan(b)
		if err != nil || !end {
			return 0, 0, false, err
		}
		lo, hi = s.from, s.at
		for b[hi-1] == ' ' || b[hi-1] == '\n' || b[hi-1] == '\r' || b[hi-1] == '\t' {
			hi--
		}
		s.phase = beforeValue
		if b[s.at] == ']' {
			s.phase = afterArray
		}
		s.at++
		s.from = s.at
		return lo, hi, true, nil
	}
	if s.phase != inValue {
		s.from = s.at
	}
	return 0, 0, false, nil
}

// scan goes on to the comma or bracket behind the message, and reports whether it is in b.
func (s *splitter) scan(b []byte) (end bool, err error) {
	i := s.at
	for i < len(b) {
		if s.quote >= 0 {
			j := bytes.IndexByte(b[i:], '"')
			if j < 0 {
				i = len(b)
				break
			}
			i += j
			k := i
			for k-1 > s.quote && b[k-1] == '\\' {
				k--
			}
			if (i-k)%2 == 0 { // no backslash is left over to escape the quote
				s.quote = -1
			}
			i++
			continue
		}
		switch b[i] {
		case '"':
			s.quote = i
		case '{', '[':
			s.depth++
		case ',':
			if s.depth == 0 {
				s.at = i
				return true, nil
			}
		case '}', ']':
			if s.depth == 0 {
				s.at = i
				if b[i] == '}' {
					return false, malformed("a bracket of the JSON array is missing")
				}
				return true, nil
			}
			s.depth--
		}
		i++
	}
	s.at = i
	return false, nil
}

// dropped tells that b has lost its first n bytes, none of them behind from.
func (s *splitter) dropped(n int) {
	s.from -= n
	s.at -= n
	if s.quote >= 0 {
		s.quote -= n
	}
}
