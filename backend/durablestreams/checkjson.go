package durablestreams

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// nesting is how deep a value may be nested: encoding/json and the server refuse to decode a deeper value.
const nesting = 10_000

// The problems of a value that several checks find.
const (
	endsTooEarly  = "it ends too early"
	noPlainComma  = "there is no comma where one is expected, or white space between tokens"
	noPlainValue  = "there is no value where one is expected, or white space between tokens"
	nestedTooDeep = "it is nested too deep"
)

// checkJSON says what is wrong with b as one message of a JSON stream, or "". White space between tokens is wrong, because
// servers drop white space and the record would come back as other bytes. Every record passes here, so checkJSON does not
// allocate.
func checkJSON(b []byte) (problem string) {
	var room [64]byte // as deep as most values are; append takes memory for a deeper value
	open := room[:0]  // '{' or '[' for each value that is not closed
	nonASCII := false
	i, named := 0, false // named: the name of a member comes next
	for {
		if named {
			if i, problem = checkName(b, i, &nonASCII); problem != "" {
				return problem
			}
		}
		opens := i < len(b) && (b[i] == '{' || b[i] == '[')
		switch {
		case opens && i+1 < len(b) && b[i+1] == b[i]+2: // empty: in ASCII, '}' and ']' are two behind '{' and '['
			i += 2
		case opens && len(open) == nesting:
			return nestedTooDeep
		case opens:
			open, named = append(open, b[i]), b[i] == '{'
			i++
			continue
		default:
			if i, problem = checkScalar(b, i, &nonASCII); problem != "" {
				return problem
			}
		}
		i, open = closeBrackets(b, i, open)
		if len(open) == 0 {
			return checkEnd(b, i, nonASCII)
		}
		if i, problem = checkComma(b, i); problem != "" {
			return problem
		}
		named = open[len(open)-1] == '{'
	}
}

// closeBrackets goes past the brackets at i that close values.
func closeBrackets(b []byte, i int, open []byte) (int, []byte) {
	for len(open) > 0 && i < len(b) && b[i] == open[len(open)-1]+2 {
		open = open[:len(open)-1]
		i++
	}
	return i, open
}

// checkName returns where the value of the member begins whose name is at i.
func checkName(b []byte, i int, nonASCII *bool) (int, string) {
	switch {
	case i >= len(b):
		return i, endsTooEarly
	case b[i] != '"':
		return i, "a name is missing"
	}
	if i = checkString(b, i+1, nonASCII); i < 0 || i >= len(b) || b[i] != ':' {
		return i, "a name is malformed"
	}
	return i + 1, ""
}

// checkScalar returns where the string, number or literal ends that is at i. Numbers are only checked and never
// converted: a number of any size keeps its digits.
func checkScalar(b []byte, i int, nonASCII *bool) (int, string) {
	if i >= len(b) {
		return i, endsTooEarly
	}
	switch c := b[i]; {
	case c == '"':
		if i = checkString(b, i+1, nonASCII); i < 0 {
			return i, "a string is malformed"
		}
		return i, ""
	case c == '-' || '0' <= c && c <= '9':
		if i = checkNumber(b, i); i < 0 {
			return i, "a number is malformed"
		}
		return i, ""
	}
	n := literal(b[i:])
	if n == 0 {
		return i, noPlainValue
	}
	return i + n, ""
}

// checkComma returns where the next value or name begins.
func checkComma(b []byte, i int) (int, string) {
	switch {
	case i >= len(b):
		return i, endsTooEarly
	case b[i] != ',':
		return i, noPlainComma
	}
	return i + 1, ""
}

// checkEnd checks what is left when the value has ended at i.
func checkEnd(b []byte, i int, nonASCII bool) string {
	switch {
	case i < len(b):
		return "something follows the value"
	case nonASCII && !utf8.Valid(b):
		return "it is not UTF-8"
	}
	return ""
}

// checkString returns where the string ends whose opening quote is before i, or -1 for a malformed string.
func checkString(b []byte, i int, nonASCII *bool) int {
	for i < len(b) {
		// Most bytes of most records are plain, so we pass over eight bytes at once.
		if len(b)-i >= 8 {
			w := binary.LittleEndian.Uint64(b[i:])
			special := specials(w)
			if w&(special&-special-1)&highs != 0 {
				*nonASCII = true
			}
			if special == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(special) / 8
		}
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			n := escapeLen(b[i:])
			if n == 0 {
				return -1
			}
			i += n
		case c < ' ':
			return -1
		default:
			if c >= utf8.RuneSelf {
				*nonASCII = true
			}
			i++
		}
	}
	return -1
}

// lows and highs have the lowest and the highest bit of each of eight bytes.
const lows, highs = 0x0101010101010101, 0x8080808080808080

// specials finds the quotes, backslashes and control characters among the eight bytes of w. The lowest bit of the result is in
// the first of them in memory; 0 means: there is none. Each of the three terms sets the high bit of the bytes of one kind. A
// subtraction may borrow from the next byte and set a wrong bit there, but only behind a right bit.
func specials(w uint64) uint64 {
	quote, slash := w^'"'*lows, w^'\\'*lows
	return ((w-' '*lows)&^w | (quote-lows)&^quote | (slash-lows)&^slash) & highs
}

// escapeLen returns the length of the escape with which b begins, or 0 for a malformed escape.
func escapeLen(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) >= 6 && hex(b[2]) && hex(b[3]) && hex(b[4]) && hex(b[5]) {
			return 6
		}
	}
	return 0
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// checkNumber returns where the number at i ends, or -1 for a malformed number.
func checkNumber(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	switch from := i; {
	case i < len(b) && b[i] == '0':
		i++
	default:
		if i = digits(b, i); i == from {
			return -1
		}
	}
	if i < len(b) && b[i] == '.' {
		from := i + 1
		if i = digits(b, from); i == from {
			return -1
		}
	}
	if i < len(b) && (b[i] == 'e' || b[i] == 'E') {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		from := i
		if i = digits(b, from); i == from {
			return -1
		}
	}
	return i
}

// digits returns where the digits at i end.
func digits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

// literal returns how long the literal is with which b begins, or 0.
func literal(b []byte) int {
	for _, word := range [...]string{"true", "false", "null"} {
		if len(b) >= len(word) && string(b[:len(word)]) == word {
			return len(word)
		}
	}
	return 0
}
