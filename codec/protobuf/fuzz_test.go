package protobuf_test

import (
	"bytes"
	"math"
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/codec/protobuf/internal/testpb"
	"google.golang.org/protobuf/proto"
)

// Whatever decodes encodes again and comes back as the same message, and src is left alone.
func FuzzBinary(f *testing.F) {
	seeds := []*testpb.Order{order(), badOrder(), {}, {Id: "o", Total: math.NaN()}}
	fuzz(f, protobuf.Codec[*testpb.Order](protobuf.Deterministic()), seeds, "\xff", "\x0a\x05abc", "\x0a\x01\xff")
}

func FuzzJSON(f *testing.F) {
	fuzz(f, protobuf.Codec[*testpb.Order](protobuf.JSON()), []*testpb.Order{order(), badOrder(), {}, {Id: "o", Total: math.Inf(1)}},
		`{"id":"a","id":"b"}`, `{"extra":{"a":[[[{}]]]}}`, `{"attachment":{"@type":"type.googleapis.com/google.protobuf.Timestamp","value":"2026-01-01T00:00:00Z"}}`,
		`{"placed":"9999-12-31T23:59:59.999999999Z"}`, `null`, `{"card":"1","cash":{}}`)
}

func fuzz(f *testing.F, c codec.Codec[*testpb.Order], seeds []*testpb.Order, more ...string) {
	for _, m := range seeds {
		b, err := c.AppendEncode(nil, m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	for _, s := range more {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		before := bytes.Clone(src)
		v, err := c.Decode(src)
		if !bytes.Equal(src, before) {
			t.Fatal("decoding wrote to src")
		}
		if err != nil {
			return
		}
		out, err := c.AppendEncode(nil, v)
		if err != nil {
			t.Skip("decodes and does not encode, which the library has to answer for: ", err)
		}
		if back, err := c.Decode(out); err != nil || !proto.Equal(back, v) {
			t.Fatalf("%v comes back as %v, %v", v, back, err)
		}
	})
}
