package durablestreams

import "unicode/utf8"

// nesting is how deep a value may be nested: servers and decoders refuse deeper ones.
const nesting = 10_000

// checkJSON says what is wrong with b as one message of a JSON stream, or "". White space between tokens is wrong, because
// servers drop it and the record would come back as other bytes. It is the door of every record, so it does not allocate.
func checkJSON(b []byte) string {
	var room [64]byte
	open := room[:0] // '{' or '[' for each value that is not closed
	wide := false
	i, key := 0, false
	for {
		if i >= len(b) {
			return "it ends too early"
		}
		if key {
			if b[i] != '"' {
				return "a name is missing"
			}
			if i = checkString(b, i+1, &wide); i < 0 || i >= len(b) || b[i] != ':' {
				return "a name is malformed"
			}
			i++
			key = false
			continue
		}
		switch c := b[i]; {
		case c == '{' || c == '[':
			if i+1 < len(b) && b[i+1] == c+2 { // in ASCII, '}' and ']' are two behind
				i += 2
				break
			}
			if len(open) == nesting {
				return "it is nested too deep"
			}
			open, key = append(open, c), c == '{'
			i++
			continue
		case c == '"':
			if i = checkString(b, i+1, &wide); i < 0 {
				return "a string is malformed"
			}
		case c == '-' || '0' <= c && c <= '9':
			if i = checkNumber(b, i); i < 0 {
				return "a number is malformed"
			}
		default:
			n := literal(b[i:])
			if n == 0 {
				return "there is no value where one is expected, or white space between tokens"
			}
			i += n
		}
		for len(open) > 0 && i < len(b) && b[i] == open[len(open)-1]+2 {
			open = open[:len(open)-1]
			i++
		}
		switch {
		case len(open) == 0 && i < len(b):
			return "something follows the value"
		case len(open) == 0 && wide && !utf8.Valid(b):
			return "it is not UTF-8"
		case len(open) == 0:
			return ""
		case i >= len(b):
			return "it ends too early"
		case b[i] != ',':
			return "there is no comma where one is expected, or white space between tokens"
		}
		i++
		key = open[len(open)-1] == '{'
	}
}

// checkString returns where the string ends whose quote is before i, or -1.
func checkString(b []byte, i int, wide *bool) int {
	for i < len(b) {
		switch c := b[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			if i+1 >= len(b) {
				return -1
			}
			switch b[i+1] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
				i += 2
			case 'u':
				if i+6 > len(b) || !hex(b[i+2]) || !hex(b[i+3]) || !hex(b[i+4]) || !hex(b[i+5]) {
					return -1
				}
				i += 6
			default:
				return -1
			}
		case c < ' ':
			return -1
		default:
			if c >= utf8.RuneSelf {
				*wide = true
			}
			i++
		}
	}
	return -1
}

func hex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// checkNumber returns where the number at i ends, or -1.
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

func digits(b []byte, i int) int {
	for i < len(b) && '0' <= b[i] && b[i] <= '9' {
		i++
	}
	return i
}

func literal(b []byte) int {
	for _, word := range [...]string{"true", "false", "null"} {
		if len(b) >= len(word) && string(b[:len(word)]) == word {
			return len(word)
		}
	}
	return 0
}
