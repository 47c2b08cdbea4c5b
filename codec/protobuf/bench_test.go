package protobuf_test

import (
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/codec/protobuf/internal/testpb"
	"google.golang.org/protobuf/proto"
)

func BenchmarkEncode(b *testing.B) {
	m, buf := small(), make([]byte, 0, 4096)
	each(b, func(c codec.Codec[*testpb.Small]) func() error {
		return func() error { _, err := c.AppendEncode(buf, m); return err }
	})
	run(b, "library-append", func() error { _, err := proto.MarshalOptions{}.MarshalAppend(buf, m); return err })
	run(b, "library", func() error { _, err := proto.Marshal(m); return err })
}

func BenchmarkDecode(b *testing.B) {
	each(b, func(c codec.Codec[*testpb.Small]) func() error {
		raw, err := c.AppendEncode(nil, small())
		if err != nil {
			b.Fatal(err)
		}
		return func() error { _, err := c.Decode(raw); return err }
	})
	raw, err := proto.Marshal(small())
	if err != nil {
		b.Fatal(err)
	}
	run(b, "library", func() error { return proto.Unmarshal(raw, new(testpb.Small)) })
}

func each(b *testing.B, f func(codec.Codec[*testpb.Small]) func() error) {
	run(b, "binary", f(protobuf.Codec[*testpb.Small]()))
	run(b, "validated-no-rules", f(protobuf.Codec[*testpb.Small](protobuf.Validate())))
	run(b, "json", f(protobuf.Codec[*testpb.Small](protobuf.JSON())))
}

// BenchmarkValidate is a message with rules, one of them in CEL, beside the same one unchecked.
func BenchmarkValidate(b *testing.B) {
	m, buf := order(), make([]byte, 0, 4096)
	plain, checked := protobuf.Codec[*testpb.Order](), protobuf.Codec[*testpb.Order](protobuf.Validate())
	run(b, "unchecked", func() error { _, err := plain.AppendEncode(buf, m); return err })
	run(b, "checked", func() error { _, err := checked.AppendEncode(buf, m); return err })
}

func run(b *testing.B, name string, f func() error) {
	b.Run(name, func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		for b.Loop() {
			if err := f(); err != nil {
				b.Fatal(err)
			}
			n++
		}
		b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "records/s")
	})
}
