package server

import (
	"testing"

	"github.com/klauspost/compress/zstd"
)

// A checksum costs both sides a pass over all bytes.
func TestCompressedFrameHasItsSizeAndNoChecksum(t *testing.T) {
	c, err := newCoder()
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	const size = 100_000
	var head zstd.Header
	if err := head.Decode(c.compress(zstdC, nil, make([]byte, size))); err != nil || head.HasCheckSum || head.FrameContentSize != size {
		t.Errorf("%+v, %v", head, err)
	}
}
