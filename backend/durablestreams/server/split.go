package server

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// nesting bounds how deep JSON may be nested: deeper values break the decoders of those who read them.
const nesting = 10_000

// splitJSON turns a request's body into stored messages, in place: it checks that body is one JSON value, takes a
// top-level array apart one level deep, drops the white space between tokens and puts a comma behind each message. The
// bytes of numbers and strings stay what they are. body needs a spare byte of capacity, for the comma behind a lone value.
//
// One pass does it all, since this is the path of every record: bytes move only behind the first white space.
func splitJSON(body []byte) ([]byte, error) {
	s := splitter{b: body}
	if err := s.document(); err != nil {
		return nil, err
	}
	if s.wide && !utf8.Valid(s.b[:s.w]) {
		return nil, s.fail("not UTF-8")
	}
	return s.b[:s.w], nil
}

type splitter struct {
	b    []byte
	r, w int  // read up to r, written up to w; r-w bytes were dropped
	wide bool // a byte beyond ASCII was seen

	stack []byte // '{' or '[' for each open value below the top level
}

func (s *splitter) fail(what string) error {
	return fmt.Errorf("%w: invalid JSON at byte %d: %s", ErrRequest, s.r, what)
}

func (s *splitter) space() {
	for s.r < len(s.b) {
		switch s.b[s.r] {
		case ' ', '\t', '\n', '\r':
			s.r++
		default:
			return
		}
	}
}

// peek returns the next byte that is no white space, or 0 at the end.
func (s *splitter) peek() byte {
	if s.r < len(s.b) && s.b[s.r] > ' ' {
		return s.b[s.r]
	}
	s.space()
	if s.r < len(s.b) {
		return s.b[s.r]
	}
	return 0
}

// keep writes the byte at r.
func (s *splitter) keep() {
	s.b[s.w] = s.b[s.r]
	s.w++
	s.r++
}

// token writes the bytes from r to end.
func (s *splitter) token(end int) {
	if s.w == s.r {
		s.w = end
	} else {
		s.w += copy(s.b[s.w:], s.b[s.r:end])
	}
	s.r = end
}

func (s *splitter) document() error {
	if s.peek() == '[' {
		s.r++
		if s.peek() == ']' {
			s.r++
			return s.end()
		}
		for {
			if err := s.value(); err != nil {
				return err
			}
			switch s.peek() {
			case ',':
				s.keep()
			case ']':
				s.r++
				s.b[s.w] = ','
				s.w++
				return s.end()
			default:
				return s.fail("expected a comma or the end of the array")
			}
		}
	}
	if err := s.value(); err != nil {
		return err
	}
	if err := s.end(); err != nil {
		return err
	}
	s.b = append(s.b[:s.w], ',')
	s.w++
	return nil
}

func (s *splitter) end() error {
	if s.peek() != 0 || s.r < len(s.b) {
		return s.fail("more than one value")
	}
	return nil
}

// value reads one value of any depth. It does not recurse, because the sender decides how deep its JSON is.
func (s *splitter) value() error {
	s.stack = s.stack[:0]
	for {
		inside, err := s.begin()
		if err != nil {
			return err
		}
		if inside {
			continue
		}
		more, err := s.after()
		if err != nil || !more {
			return err
		}
	}
}

// begin reads a value, or the beginning of an object or array that holds something. Then inside is true, and the next value is
// the first one in it.
func (s *splitter) begin() (inside bool, err error) {
	switch c := s.peek(); c {
	case '{', '[':
		return s.open(c)
	case '"':
		return false, s.text()
	case 't':
		return false, s.literal("true")
	case 'f':
		return false, s.literal("false")
	case 'n':
		return false, s.literal("null")
	default:
		return false, s.number()
	}
}

// open reads the beginning of an object or array, and its end if it is empty.
func (s *splitter) open(c byte) (inside bool, err error) {
	s.keep()
	if s.peek() == c+2 { // in ASCII, a closing bracket or brace is two behind the opening one
		s.keep()
		return false, nil
	}
	if err := s.push(c); err != nil || c == '[' {
		return err == nil, err
	}
	return true, s.key()
}

func (s *splitter) push(c byte) error {
	if len(s.stack) == nesting {
		return s.fail("nested too deep")
	}
	s.stack = append(s.stack, c)
	return nil
}

// after reads what stands behind a value: commas, and the ends of what it stands in. more: another value follows.
func (s *splitter) after() (more bool, err error) {
	for len(s.stack) > 0 {
		open := s.stack[len(s.stack)-1]
		switch c := s.peek(); {
		case c == ',':
			s.keep()
			if open == '{' {
				return true, s.key()
			}
			return true, nil
		case c == '}' && open == '{', c == ']' && open == '[':
			s.keep()
			s.stack = s.stack[:len(s.stack)-1]
		default:
			return false, s.fail("expected a comma or the end of the value")
		}
	}
	return false, nil
}

func (s *splitter) key() error {
	if s.peek() != '"' {
		return s.fail("expected a key")
	}
	if err := s.text(); err != nil {
		return err
	}
	if s.peek() != ':' {
		return s.fail("expected a colon")
	}
	s.keep()
	return nil
}

// plainBytes returns how many bytes at the start of b stand for themselves within a string: neither control characters nor
// quotes, backslashes or bytes beyond ASCII. Eight at a time, since most bytes of most records pass here. A borrow of the
// subtractions can only flag bytes above one that is flagged rightly, so the lowest flag is right.
func plainBytes(b []byte) int {
	const (
		ones = 0x0101010101010101
		tops = 0x8080808080808080
	)
	n := 0
	for ; n+8 <= len(b); n += 8 {
		v := binary.LittleEndian.Uint64(b[n:])
		if f := (v | (v - ' '*ones) | ((v ^ '"'*ones) - ones) | ((v ^ '\\'*ones) - ones)) & tops; f != 0 {
			return n + bits.TrailingZeros64(f)/8
		}
	}
	for ; n < len(b); n++ {
		if c := b[n]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			break
		}
	}
	return n
}

func (s *splitter) text() error {
	b := s.b
	for i := s.r + 1; i < len(b); i++ {
		if i += plainBytes(b[i:]); i >= len(b) {
			break
		}
		c := b[i]
		switch {
		case c == '"':
			s.token(i + 1)
			return nil
		case c == '\\':
			i++
			if i == len(b) {
				break
			}
			switch b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				for range 4 {
					i++
					if i == len(b) || !hexDigit(b[i]) {
						return s.fail("bad escape")
					}
				}
			default:
				return s.fail("bad escape")
			}
		case c >= utf8.RuneSelf:
			s.wide = true
		default:
			return s.fail("control character in a string")
		}
	}
	return s.fail("string without an end")
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (s *splitter) literal(word string) error {
	end := s.r + len(word)
	if end > len(s.b) || string(s.b[s.r:end]) != word {
		return s.fail("expected a value")
	}
	s.token(end)
	return nil
}

// number reads a number as JSON has it: no leading zeros, and digits around every point and exponent.
func (s *splitter) number() error {
	i := s.r
	if i < len(s.b) && s.b[i] == '-' {
		i++
	}
	if i < len(s.b) && s.b[i] == '0' {
		i++
	} else if from := i; s.digits(&i) == from {
		return s.fail("expected a value")
	}
	if i < len(s.b) && s.b[i] == '.' {
		i++
		if from := i; s.digits(&i) == from {
			return s.fail("bad number")
		}
	}
	if i < len(s.b) && (s.b[i] == 'e' || s.b[i] == 'E') {
		i++
		if !s.exponent(&i) {
			return s.fail("bad number")
		}
	}
	s.token(i)
	return nil
}

// exponent moves i behind the sign and the digits of an exponent, and reports whether there are digits.
func (s *splitter) exponent(i *int) bool {
	if *i < len(s.b) && (s.b[*i] == '+' || s.b[*i] == '-') {
		*i++
	}
	from := *i
	return s.digits(i) > from
}

// digits moves i behind the digits at i, and returns it.
func (s *splitter) digits(i *int) int {
	for *i < len(s.b) && s.b[*i] >= '0' && s.b[*i] <= '9' {
		*i++
	}
	return *i
}

// messages returns how many bytes the first n messages of stored JSON take, or false when there are fewer.
func messages(stored []byte, n int64) (int, bool) {
	depth, quoted := 0, false
	for i := 0; n > 0; i++ {
		if i == len(stored) {
			return 0, false
		}
		switch c := stored[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth == 0:
			if n--; n == 0 {
				return i + 1, true
			}
		}
	}
	return 0, true
}
