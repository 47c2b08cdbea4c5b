package compress_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/compress"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A format is one of the constructors, over Bytes.
type format struct {
	name   string
	encode string
	magic  string
	levels int
	wrap   func(c codec.Codec[[]byte], maxDecoded int, opts ...compress.Option) codec.Codec[[]byte]
}

var formats = []format{
	{"Zstd", "zstd", "\x28\xb5\x2f\xfd", 22, compress.Zstd[[]byte]},
	{"Gzip", "gzip", "\x1f\x8b\x08", 9, compress.Gzip[[]byte]},
	{"S2", "s2", "\xff\x06\x00\x00S2sTwO", 3, compress.S2[[]byte]},
	{"Snappy", "x-snappy-framed", "\xff\x06\x00\x00sNaPpY", 3, compress.Snappy[[]byte]},
}

func (f format) make(maxDecoded int, opts ...compress.Option) codec.Codec[[]byte] {
	return f.wrap(codec.Bytes(), maxDecoded, opts...)
}

func each(t *testing.T, f func(t *testing.T, f format)) {
	for _, c := range formats {
		t.Run(c.name, func(t *testing.T) { f(t, c) })
	}
}

func mustEncode[T any](t testing.TB, c codec.Codec[T], v T) []byte {
	t.Helper()
	b, err := c.AppendEncode(nil, v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// text compresses well, noise not at all.
func text(n int) []byte { return []byte(strings.Repeat("all work and no play. ", n/22+1)[:n]) }

func noise(n int) []byte {
	b := make([]byte, n)
	x := uint64(88172645463325252)
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x >> 32)
	}
	return b
}

func wantBytes(t *testing.T, what string, got []byte, err error, want []byte) {
	t.Helper()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s: %v, got %s, want %s", what, err, abridged(got), abridged(want))
	}
}

func abridged(b []byte) string { return fmt.Sprintf("%d bytes %.40q", len(b), b) }

// event resembles its like, as the records of a stream do.
type event struct {
	ID     string `json:"id"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
	Seq    int    `json:"seq"`
}

func sampleEvent(i int) event {
	return event{
		ID: fmt.Sprintf("evt-%08d", i*7919), Kind: []string{"order.placed", "order.paid", "order.shipped"}[i%3],
		Detail: fmt.Sprintf("customer %d, warehouse %d", i%97, i%5), Seq: i,
	}
}
