package server

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"unicode/utf8"
)

// nesting bounds the depth of JSON. Deeper values break the decoders of readers.
const nesting = 10_000

// splitJSON turns the body of a request into stored messages, in place. It checks that body is one JSON value, splits a
// top-level array one level deep, drops the white space between tokens, and puts a comma after each message. The bytes
// of numbers and strings do not change. body needs one spare byte of capacity, for the comma after a single value.
//
// Every record takes this path, so one pass does all the work, and no byte moves before the first white space.
func splitJSON(body []byte) ([]byte, error) {
	s := splitter{b: body}
	if err := s.document(); err != nil {
		return nil, err
	}
	if s.nonASCII && !utf8.Valid(s.b[:s.w]) {
		return nil, s.fail("not UTF-8")
	}
	return s.b[:s.w], nil
}

type splitter struct {
	b        []byte
	r, w     int  // the input is read up to r, and the output is written up to w; r-w bytes were dropped
	nonASCII bool // the input has a byte beyond ASCII, so it must be checked as UTF-8

	stack []byte // '{' or '[' for each open value of the message
}

// fail returns the error for a body that is no JSON. The place of the fault helps a client more than its text, and no
// byte of the body is repeated, because a log may show the answer.
func (s *splitter) fail(what string) error {
	return fmt.Errorf("%w: invalid JSON at byte %d: %s", ErrRequest, s.r, what)
}

// space skips white space. Only the four characters of JSON count: readers refuse others between tokens.
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

// peek skips white space and returns the next byte, or 0 at the end.
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

// keep copies the byte at r to the output.
func (s *splitter) keep() {
	s.b[s.w] = s.b[s.r]
	s.w++
	s.r++
}

// token copies the bytes from r to end to the output. While no white space was dropped, the bytes are in their place
// already, and nothing is copied.
func (s *splitter) token(end int) {
	if s.w == s.r {
		s.w = end
	} else {
		s.w += copy(s.b[s.w:], s.b[s.r:end])
	}
	s.r = end
}

// document reads the whole body: one value, or an array whose elements are the messages. An empty array has no message:
// a stream may begin with it, and an append of it is refused.
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
				// The comma takes the place of the bracket that was just read, so there is always room.
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
	// body has one spare byte of capacity for this comma, so append moves nothing.
	s.b = append(s.b[:s.w], ',')
	s.w++
	return nil
}

// end refuses bytes behind the value. Two values in one body would be stored as one message, and break the decoders of
// readers.
func (s *splitter) end() error {
	if s.peek() != 0 || s.r < len(s.b) {
		return s.fail("more than one value")
	}
	return nil
}

// value reads one value of any depth. It uses a stack and no recursion: the sender decides how deep the JSON is, and
// deep recursion would cost much memory.
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

// begin reads a value, or the beginning of an object or array that is not empty. In the second case inside is true, and
// the next value is the first value in the object or array.
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

// open reads the beginning of an object or array. If the object or array is empty, open also reads its end.
func (s *splitter) open(c byte) (inside bool, err error) {
	s.keep()
	if s.peek() == c+2 { // in ASCII, the code of a closing bracket or brace is that of the opening character plus 2
		s.keep()
		return false, nil
	}
	if err := s.push(c); err != nil || c == '[' {
		return err == nil, err
	}
	return true, s.key()
}

// push notes an open object or array.
func (s *splitter) push(c byte) error {
	if len(s.stack) == nesting {
		return s.fail("nested too deep")
	}
	s.stack = append(s.stack, c)
	return nil
}

// after reads the commas and closing characters behind a value. more = true means that another value follows.
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

// key reads the name of a member and its colon. Repeated names are not refused, because JSON allows them and the server
// must not change a message.
func (s *splitter) key() error {
	if s.peek() != '"' {
		return s.fail("expected a key")
	}
	if err := s.text(); err != nil {
		return err
	}
	// White space around the colon is dropped, as all white space between tokens.
	if s.peek() != ':' {
		return s.fail("expected a colon")
	}
	s.keep()
	return nil
}

// plainBytes returns how many bytes at the start of b stand for themselves within a string. Control characters, quotes,
// backslashes and bytes beyond ASCII do not. Most bytes of most records pass here, so plainBytes tests eight bytes at a
// time: it sets the top bit of each special byte. A subtraction may borrow from the next higher byte and set a wrong
// bit there. A wrong bit is always above a right bit, so the lowest bit is right.
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

// text reads a string, and checks its escapes. It does not decode them, because readers get the bytes as they were
// sent. A surrogate without its partner passes: JSON allows it, and only a decoder can decide what it means.
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
			s.nonASCII = true
		default:
			return s.fail("control character in a string")
		}
	}
	return s.fail("string without an end")
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

// literal reads one of the three names. Other spellings, such as True, are no JSON.
func (s *splitter) literal(word string) error {
	end := s.r + len(word)
	if end > len(s.b) || string(s.b[s.r:end]) != word {
		return s.fail("expected a value")
	}
	s.token(end)
	return nil
}

// number reads a number as JSON defines it: no leading zeros, and digits around each point and after each exponent.
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

// exponent moves i behind the sign and the digits of an exponent. It reports whether there are digits.
func (s *splitter) exponent(i *int) bool {
	if *i < len(s.b) && (s.b[*i] == '+' || s.b[*i] == '-') {
		*i++
	}
	from := *i
	return s.digits(i) > from
}

// digits moves i behind the digits at i, and returns the new i.
func (s *splitter) digits(i *int) int {
	for *i < len(s.b) && s.b[*i] >= '0' && s.b[*i] <= '9' {
		*i++
	}
	return *i
}

// messages returns how many bytes the first n messages of stored JSON have, or false if there are fewer messages.
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
