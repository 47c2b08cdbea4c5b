package compress_test

import (
	"bytes"
	"testing"
)

// large is a value of several blocks, whose record is small.
func large() []byte { return text(5 << 20) }

func TestACutRecordIsNotTakenForAShorterValue(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		c := f.make(8 << 20)
		for _, v := range [][]byte{text(1000), large()} {
			record := mustEncode(t, c, v)
			step := max(1, len(record)/200)
			for n := len(f.magic); n < len(record); n++ {
				if n%step != 0 && !bytes.Contains(record[n:min(len(record), n+4)], []byte{0}) {
					continue // what stands at the beginning of a chunk has a zero in it
				}
				if got, err := c.Decode(record[:n]); err == nil {
					t.Fatalf("the first %d of %d bytes decode to %d bytes, the value has %d", n, len(record), len(got), len(v))
				}
			}
		}
	})
}

func TestBytesBehindARecordAreRefused(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		c := f.make(8 << 20)
		record := mustEncode(t, c, text(1000))
		for _, rest := range []string{"\x00", "x", "\x00\x00", "xyz", "\x00\x00\x00\x00", "garbage behind", f.magic[:len(f.magic)-1]} {
			if got, err := c.Decode(append(bytes.Clone(record), rest...)); err == nil {
				t.Errorf("with %q behind it the record decodes to %d bytes", rest, len(got))
			}
		}
	})
}
