//go:build !race

// The race detector makes sync.Pool forget at random, so what is pooled allocates under it.

package codec_test

import (
	"testing"

	"github.com/headrace/headrace/codec"
)

func TestEncodeAllocations(t *testing.T) {
	buf := make([]byte, 0, 4096)
	raw := []byte("some bytes")
	for _, c := range []struct {
		name   string
		encode func() error
	}{
		{"JSON struct", encodeInto(codec.JSON[order](), buf, sampleOrder)},
		{"JSON pointer", encodeInto(codec.JSON[*order](), buf, &sampleOrder)},
		{"JSON validated", encodeInto(codec.Validate(codec.JSON[order](), checkOrder), buf, sampleOrder)},
		{"Bytes", encodeInto(codec.Bytes(), buf, raw)},
		{"String", encodeInto(codec.String(), buf, "text")},
		{"Union", encodeInto[shape](codec.Union("type", cases()...), buf, &square{1})},
		{"JSON envelope", encodeInto[shape](codec.Envelope(cases()...), buf, circle{1})},
		{"binary envelope", encodeInto[shape](codec.Envelope(mixed()...), buf, &square{1})},
		{"Func", encodeInto(codec.Func("text/csv", csvEncode, csvDecode), buf, []string{"a", "b"})},
	} {
		if err := c.encode(); err != nil {
			t.Fatal(err)
		}
		if n := testing.AllocsPerRun(500, func() { _ = c.encode() }); n != 0 {
			t.Errorf("%s: %v allocations a record, want 0", c.name, n)
		}
	}
}

func encodeInto[T any](c codec.Codec[T], buf []byte, v T) func() error {
	return func() error { _, err := c.AppendEncode(buf, v); return err }
}

// What decoding allocates is the backing array of SKUs, which grows once, and at most the four strings of the value (those
// that the engine has seen lately are shared). The memory of the value itself is used again.
func TestDecodeAllocations(t *testing.T) {
	js, str := codec.JSON[order](), codec.String()
	text, err := js.AppendEncode(nil, sampleOrder)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		limit  float64
		decode func() error
	}{
		{"JSON", 5, func() error { _, err := js.Decode(text); return err }},
		{"Bytes", 0, func() error { _, err := codec.Bytes().Decode(text); return err }},
		{"String", 1, func() error { _, err := str.Decode(text); return err }},
	} {
		if n := testing.AllocsPerRun(500, func() { err = c.decode() }); n > c.limit || err != nil {
			t.Errorf("%s: %v allocations a record, want at most %v (%v)", c.name, n, c.limit, err)
		}
	}
}
