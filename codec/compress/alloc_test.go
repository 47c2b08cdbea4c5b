//go:build !race

// The race detector makes sync.Pool forget at random, so what is pooled allocates under it.

package compress_test

import (
	"testing"

	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/codec/compress"
)

// Encoding allocates nothing, decoding the value and nothing else.
func TestAllocations(t *testing.T) {
	buf := make([]byte, 0, 256<<10)
	each(t, func(t *testing.T, f format) {
		for _, n := range []int{50, 1000, 100_000} {
			for _, v := range [][]byte{text(n), noise(n)} {
				c := f.make(1 << 20)
				record := mustEncode(t, c, v)
				if n := testing.AllocsPerRun(200, func() { _, _ = c.AppendEncode(buf, v) }); n != 0 {
					t.Errorf("%s: %v allocations to encode, want 0", abridged(v), n)
				}
				if n := testing.AllocsPerRun(200, func() { _, _ = c.Decode(record) }); n > 1 {
					t.Errorf("%s: %v allocations to decode, want at most 1", abridged(v), n)
				}
			}
		}
	})
}

func TestAllocationsWithDictionary(t *testing.T) {
	c := compress.Zstd(codec.Bytes(), 1<<20, compress.Dictionary(trained(t)))
	v := mustEncode(t, codec.JSON[event](), sampleEvent(3))
	buf, record := make([]byte, 0, 4096), mustEncode(t, c, v)
	if n := testing.AllocsPerRun(200, func() { _, _ = c.AppendEncode(buf, v) }); n != 0 {
		t.Errorf("%v allocations to encode, want 0", n)
	}
	if n := testing.AllocsPerRun(200, func() { _, _ = c.Decode(record) }); n > 1 {
		t.Errorf("%v allocations to decode, want at most 1", n)
	}
}

// The buffer that decoding allocates is as large as the value: a kept value pins nothing else.
func TestDecodeIsExact(t *testing.T) {
	each(t, func(t *testing.T, f format) {
		c := f.make(1 << 20)
		for _, n := range []int{200, 1000, 4096, 70_000} {
			if v, err := c.Decode(mustEncode(t, c, text(n))); err != nil || cap(v) != n {
				t.Errorf("capacity %d, want %d (%v)", cap(v), n, err)
			}
		}
		record := mustEncode(t, c, text(4096))
		taken := uint64(1 << 30)
		for range 20 { // coders take memory of their own when each is first used
			taken = min(taken, allocated(func() { _, _ = c.Decode(record) }))
		}
		if taken > 4096+256 {
			t.Errorf("decoding 4096 bytes took %d", taken)
		}
	})
}
