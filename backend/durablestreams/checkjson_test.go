package durablestreams

import "testing"

// TestStringsAreCheckedAtEachPlaceOfAWord puts each byte at each place of a string, alone and behind a byte beyond ASCII: the
// check looks at eight bytes at once.
func TestStringsAreCheckedAtEachPlaceOfAWord(t *testing.T) {
	for at := range 20 {
		for c := range 256 {
			b := []byte(`abcdefghijklmnopqrst"`)
			b[at] = byte(c)
			want, beyond := len(b), c >= 0x80
			switch {
			case c == '"':
				want = at + 1
			case c < ' ', c == '\\': // no letter of b but b, f, n, r and t may follow a backslash
				want = -1
			}
			if c == '\\' && (b[at+1] == 'b' || b[at+1] == 'f' || b[at+1] == 'n' || b[at+1] == 'r' || b[at+1] == 't' || b[at+1] == '"') {
				continue
			}
			nonASCII := false
			if got := checkString(b, 0, &nonASCII); got != want || nonASCII != beyond {
				t.Fatalf("byte %#x at %d: %d, %v, want %d, %v", c, at, got, nonASCII, want, beyond)
			}
			if at == 0 {
				continue
			}
			b[at-1], nonASCII = 0xff, false
			if got := checkString(b, 0, &nonASCII); got != want || !nonASCII {
				t.Fatalf("byte %#x at %d behind 0xff: %d, %v, want %d, true", c, at, got, nonASCII, want)
			}
		}
	}
}
