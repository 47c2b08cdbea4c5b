package durablestreams

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// A splitter finds the messages of a JSON array in pieces. It looks only for the ends of the messages: a server has checked the
// values at the append, and the decoder of the caller checks the values again. A splitter does not allocate.
type splitter struct {
	phase phase
	from  int  // where the message being scanned begins
	at    int  // the bytes before at are scanned
	depth int  // open brackets within the message
	quote int  // where the string being scanned begins, -1 outside of a string
	many  bool // several arrays may follow each other
}

// A phase is what a splitter expects.
type phase byte

const (
	beforeArray phase = iota
	beforeFirst       // a value, or the end of the array
	beforeValue
	inValue
	afterArray
)

// next returns the bounds of the next message in b, or not ok when b has to grow first. Between calls b may only grow, or lose
// bytes before from: see dropped.
func (s *splitter) next(b []byte) (lo, hi int, ok bool, err error) {
	for s.at < len(b) {
		if s.phase != inValue {
			if err := s.between(b[s.at]); err != nil {
				return 0, 0, false, err
			}
			if s.phase != inValue {
				s.at++
				continue
			}
		}
		end, err := s.scan(b)
		if err != nil || !end {
			return 0, 0, false, err
		}
		lo, hi = s.from, s.at
		// White space between a value and its comma belongs to the array, and not to the message.
		for isSpace(b[hi-1]) {
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

// between takes the byte at s.at, which is outside of a message or the first of a message.
func (s *splitter) between(c byte) error {
	switch {
	case isSpace(c):
	case s.phase == beforeValue && c != ',' && c != ']', s.phase == beforeFirst && c != ',' && c != ']':
		s.phase, s.from, s.depth, s.quote = inValue, s.at, 0, -1
	case s.phase == beforeFirst && c == ']':
		s.phase = afterArray
	case s.phase == beforeFirst || s.phase == beforeValue:
		return protocolErrorf("a message of the JSON array is missing")
	case c == '[' && (s.phase == beforeArray || s.many):
		s.phase = beforeFirst
	default:
		return protocolErrorf("not one JSON array")
	}
	return nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

// scan goes on to the comma or bracket behind the message, and reports whether b holds that byte already.
func (s *splitter) scan(b []byte) (end bool, err error) {
	i, depth, quote := s.at, s.depth, s.quote
	for i < len(b) {
		if quote >= 0 {
			if i = nextQuote(b, i); i < 0 {
				s.at, s.depth, s.quote = len(b), depth, quote
				return false, nil
			}
			if b[i-1] != '\\' || !escapes(b[quote+1:i]) {
				quote = -1
			}
			i++
			continue
		}
		switch m := meanings[b[i]]; {
		case m == nothing: // most bytes, so this case is first
		case m == aString:
			quote = i
		case m == opens:
			depth++
		// A comma or a closing bracket outside of all brackets ends the message. The kinds of inner brackets are not
		// compared, because the decoder of the caller does so.
		case depth == 0:
			s.at, s.depth, s.quote = i, depth, quote
			if b[i] == '}' {
				return false, protocolErrorf("a bracket of the JSON array is missing")
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

// nextQuote returns where the next quote is, or -1. Most strings in JSON are names and words, and to look at 16 bytes costs
// less than IndexByte needs to begin. In long texts IndexByte is much faster.
func nextQuote(b []byte, i int) int {
	for n := 0; n < 2 && len(b)-i >= 8; n++ {
		if found := quotes(binary.LittleEndian.Uint64(b[i:])); found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
		i += 8
	}
	if k := bytes.IndexByte(b[i:], '"'); k >= 0 {
		return i + k
	}
	return -1
}

// A meaning is what a byte means outside of strings.
type meaning byte

const (
	nothing meaning = iota
	aString
	opens
	closes
	divides
)

var meanings = [256]meaning{'"': aString, '{': opens, '[': opens, '}': closes, ']': closes, ',': divides}

// quotes finds the quotes among the eight bytes of w. The lowest bit of the result is in the byte of the first quote in memory;
// 0 means: no quote. The exclusive or makes the bytes with a quote zero, and the last line sets the high bit of the first zero
// byte.
func quotes(w uint64) uint64 {
	w ^= '"' * lows
	return (w - lows) &^ w & highs
}

// escapes reports whether the byte behind b is escaped, where b is the beginning of a string: b ends with an odd number of
// backslashes then.
func escapes(b []byte) bool {
	k := len(b)
	for k > 0 && b[k-1] == '\\' {
		k--
	}
	return (len(b)-k)%2 == 1
}

// dropped says that b has lost its first n bytes, which are bytes before from.
func (s *splitter) dropped(n int) {
	s.from -= n
	s.at -= n
	if s.quote >= 0 {
		s.quote -= n
	}
}
