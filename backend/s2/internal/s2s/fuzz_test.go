package s2s

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzReader cuts whatever comes: every payload is within bounds, and the reader ends with an error that is one of three.
func FuzzReader(f *testing.F) {
	f.Add(unhex(f, "00 00 07 00 0a 04 1a 02 68 69"), uint8(0))
	f.Add(unhex(f, "00 00 01 00 00 00 02 90 01"), uint8(1))
	f.Add(framed(MaxLength+1, 0, nil), uint8(2))
	f.Add(append(framed(2, 0x60, nil), 1), uint8(3))
	f.Add([]byte{0, 0, 0}, uint8(7))
	f.Add(seal(f, Zstd, bytes.Repeat([]byte("abc"), 1000)), uint8(0))
	f.Add(seal(f, Gzip, bytes.Repeat([]byte("abc"), 1000)), uint8(0))
	f.Fuzz(func(t *testing.T, in []byte, chunk uint8) {
		c, _ := new(Coders).New(None)
		defer c.Close()
		r := NewReader(&slow{in, int(chunk) + 1})
		read := 0
		for {
			flags, payload, err := r.Next()
			if err != nil {
				var fe *FormatError
				if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.As(err, &fe) {
					t.Fatalf("an error of no kind: %v", err)
				}
				if err == io.EOF && read != len(in) {
					t.Fatalf("a clean end after %d of %d bytes", read, len(in))
				}
				return
			}
			if read += HeaderSize + len(payload); read > len(in) || len(payload) > MaxPayload {
				t.Fatalf("a payload of %d bytes, %d of %d read", len(payload), read, len(in))
			}
			if flags.Terminal() {
				_, _, _ = Terminal(payload)
				continue
			}
			if out, err := c.Open(flags, payload); err == nil && len(out) > MaxPayload {
				t.Fatalf("decompressed to %d bytes", len(out))
			}
		}
	})
}

// slow gives n bytes at a time.
type slow struct {
	in []byte
	n  int
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(s.n, len(p))], s.in)
	s.in = s.in[n:]
	return n, nil
}

// FuzzSeal seals and opens: what comes out went in.
func FuzzSeal(f *testing.F) {
	f.Add([]byte("short"), uint8(1), uint16(0))
	f.Add([]byte("long"), uint8(1), uint16(1000))
	f.Add([]byte("long"), uint8(2), uint16(1000))
	f.Fuzz(func(t *testing.T, piece []byte, codec uint8, times uint16) {
		payload := bytes.Repeat(piece, 1+int(times)%2000)
		if len(payload) > MaxPayload {
			return
		}
		flags, body, err := NewReader(bytes.NewReader(seal(t, Codec(codec%3), payload))).Next()
		if err != nil {
			t.Fatal(err)
		}
		c, _ := new(Coders).New(None)
		defer c.Close()
		if got, err := c.Open(flags, body); err != nil || !bytes.Equal(got, payload) {
			t.Fatalf("%d bytes come back of %d, %v", len(got), len(payload), err)
		}
	})
}
