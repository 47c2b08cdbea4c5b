package s2s

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// letters is a payload of n bytes that becomes about four times smaller.
func letters(n int) []byte {
	dice := rand.New(rand.NewPCG(1, 2))
	payload := make([]byte, n)
	for i := range payload {
		payload[i] = byte('a' + dice.IntN(4))
	}
	return payload
}

// piecemeal compresses a payload like an encoder that does not know the size of the payload when it begins: the head of a zstd
// frame then does not name the size.
func piecemeal(t testing.TB, codec Codec, payload []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Flush() error
		Close() error
	} = gzip.NewWriter(&out)
	if codec == Zstd {
		enc, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1))
		if err != nil {
			t.Fatal(err)
		}
		w = enc
	}
	_, err1 := w.Write(payload[:1])
	err2 := w.Flush()
	_, err3 := w.Write(payload[1:])
	if err4 := w.Close(); err1 != nil || err2 != nil || err3 != nil || err4 != nil {
		t.Fatal(err1, err2, err3, err4)
	}
	return out.Bytes()
}

// BenchmarkOpen decompresses the payload of 1000 records of 100 bytes.
func BenchmarkOpen(b *testing.B) {
	payload := letters(108_000)
	sized := seal(b, Zstd, payload)[HeaderSize:]
	for name, in := range map[string][]byte{"sized": sized, "piecemeal": piecemeal(b, Zstd, payload)} {
		b.Run(name, func(b *testing.B) {
			c, err := new(Coders).New(None)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Open(Flags(Zstd)<<codecShift, in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
