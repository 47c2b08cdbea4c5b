package durablestreams

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// A splitter finds the messages of a JSON array that comes in pieces. It looks no closer than it has to: the values are the
// decoder's business, and a server has checked them already. It does not allocate.
type splitter struct {
	phase phase
	from  int  // where the message begins that is being scanned
	at    int  // scanned up to here
	depth int  // open brackets within the message
	quote int  // where the string begins that is being scanned, -1 outside of one
	many  bool // arrays may follow each other
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
			case (s.phase == beforeArray || s.many && s.phase == afterArray) && c == '[':
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
	i, depth, quote := s.at, s.depth, s.quote
	for i < len(b) {
		if quote >= 0 {
			// Most strings in JSON are names and words: to look at eight bytes costs less than it takes IndexByte to
			// begin, which is the faster one by far in long texts.
			for words := 0; ; words++ {
				if words < 2 && len(b)-i >= 8 {
					found := quotes(binary.LittleEndian.Uint64(b[i:]))
					if found == 0 {
						i += 8
						continue
					}
					i += bits.TrailingZeros64(found) / 8
					break
				}
				k := bytes.IndexByte(b[i:], '"')
				if k < 0 {
					s.at, s.depth, s.quote = len(b), depth, quote
					return false, nil
				}
				i += k
				break
			}
			if b[i-1] != '\\' || !escapes(b[quote+1:i]) {
				quote = -1
			}
			i++
			continue
		}
		switch m := meanings[b[i]]; {
		case m == nothing: // most often, hence first
		case m == aString:
			quote = i
		case m == opens:
			depth++
		case depth == 0:
			s.at, s.depth, s.quote = i, depth, quote
			if b[i] == '}' {
				return false, malformed("a bracket of the JSON array is missing")
			}
			return true, nil
		case m == closes:
			depth--
		}
		i++
	}
	s.at, s.depth, s.quote = i, depth, quote
	return false, nil
}

// A meaning is that of a byte outside of strings.
type meaning byte

const (
	nothing meaning = iota
	aString
	opens
	closes
	divides
)

var meanings = [256]meaning{'"': aString, '{': opens, '[': opens, '}': closes, ']': closes, ',': divides}

// quotes has a bit set in the first byte of w, as it lies in memory, that is a quote, and none below; 0 when none is.
func quotes(w uint64) uint64 {
	const lows, highs = 0x0101010101010101, 0x8080808080808080
	w ^= '"' * lows // quotes are zeros now
	return (w - lows) &^ w & highs
}

// escapes says whether the end of b, which a string begins with, escapes what is behind it: the backslashes there are odd.
func escapes(b []byte) bool {
	k := len(b)
	for k > 0 && b[k-1] == '\\' {
		k--
	}
	return (len(b)-k)%2 == 1
}

// dropped tells that b has lost its first n bytes, none of them behind from.
func (s *splitter) dropped(n int) {
	s.from -= n
	s.at -= n
	if s.quote >= 0 {
		s.quote -= n
	}
}
