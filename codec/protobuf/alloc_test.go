//go:build !race

// The race detector makes sync.Pool forget at random, so what is pooled allocates under it.

package protobuf_test

import (
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/protobuf"
	"github.com/headrace/headrace/codec/protobuf/internal/testpb"
	"google.golang.org/protobuf/proto"
)

func TestAllocations(t *testing.T) {
	m, buf := small(), make([]byte, 0, 4096)
	raw, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	// What the library allocates for a message is the measure of decoding.
	library := testing.AllocsPerRun(500, func() { _ = proto.Unmarshal(raw, new(testpb.Small)) })
	for name, c := range map[string]codec.Codec[*testpb.Small]{
		"binary":        protobuf.Codec[*testpb.Small](),
		"deterministic": protobuf.Codec[*testpb.Small](protobuf.Deterministic()),
		"validated":     protobuf.Codec[*testpb.Small](protobuf.Validate()),
	} {
		if n := testing.AllocsPerRun(500, func() { _, _ = c.AppendEncode(buf, m) }); n != 0 {
			t.Errorf("%s: %v allocations to encode, want 0", name, n)
		}
		if n := testing.AllocsPerRun(500, func() { _, _ = c.Decode(raw) }); n > library {
			t.Errorf("%s: %v allocations to decode, the library alone makes %v", name, n, library)
		}
	}
}
