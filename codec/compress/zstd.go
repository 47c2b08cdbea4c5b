package compress

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"runtime"

	"github.com/klauspost/compress/zstd"
)

var zstdMagic = []byte{0x28, 0xb5, 0x2f, 0xfd}

// zstdCoder holds an encoder and a decoder, which pass their parts around in channels. The encoder makes its channels at its first
// use, so newZstdCoder uses the encoder once: channels made inside a testing/synctest bubble could not be used outside.
type zstdCoder struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

func newZstdCoder(cfg config) *zstdCoder {
	level := zstd.EncoderLevelFromZstd(*cfg.level)
	encoders := runtime.GOMAXPROCS(0)
	if level > zstd.SpeedDefault {
		encoders = min(encoders, 4) // an encoder of a high level is large
	}
	eopts := []zstd.EOption{
		zstd.WithEncoderLevel(level),
		zstd.WithEncoderConcurrency(encoders),
		zstd.WithLowerEncoderMem(true),
		zstd.WithSingleSegment(true), // otherwise frames of small values would not hold their size, and would save no byte
	}
	// No value is larger than maxDecoded, so a larger window would waste memory.
	if cfg.maxDecoded < 4<<20 {
		window := 1 << bits.Len(uint(cfg.maxDecoded-1))
		eopts = append(eopts, zstd.WithWindowSize(max(window, 128<<10)))
	}
	dopts := []zstd.DOption{
		zstd.WithDecoderConcurrency(0), // as many as there are processors
		zstd.WithDecodeAllCapLimit(true),
	}
	if len(cfg.dictionaries) > 0 {
		checkDictionaries(cfg.dictionaries)
		eopts = append(eopts, zstd.WithEncoderDict(cfg.dictionaries[0]))
		dopts = append(dopts, zstd.WithDecoderDicts(cfg.dictionaries...))
	}
	encoder, err := zstd.NewWriter(nil, eopts...)
	if err != nil {
		panic(fmt.Sprintf("compress: Zstd: %v", err))
	}
	decoder, err := zstd.NewReader(nil, dopts...)
	if err != nil {
		panic(fmt.Sprintf("compress: Zstd: %v", err))
	}
	z := &zstdCoder{encoder: encoder, decoder: decoder}
	primer := []byte("primer")
	if b, err := z.decompress(z.compress(nil, primer), len(primer)); err != nil || !bytes.Equal(b, primer) {
		panic(fmt.Sprintf("compress: Zstd: the coders do not work: %v", err))
	}
	return z
}

// checkDictionaries panics on mistakes that the decoder would accept in silence: from two dictionaries with the same id, the decoder
// takes the last.
func checkDictionaries(dictionaries [][]byte) {
	seen := map[uint32]bool{}
	for i, d := range dictionaries {
		info, err := zstd.InspectDictionary(d)
		if err != nil {
			panic(fmt.Sprintf("compress: Zstd: dictionary %d: %v", i, err))
		}
		if seen[info.ID()] {
			panic(fmt.Sprintf("compress: Zstd: two dictionaries have the id %d", info.ID()))
		}
		seen[info.ID()] = true
	}
}

func (z *zstdCoder) framed(b []byte) bool { return bytes.HasPrefix(b, zstdMagic) }

func (z *zstdCoder) compress(dst, src []byte) []byte { return z.encoder.EncodeAll(src, dst) }

func (z *zstdCoder) decompress(src []byte, limit int) ([]byte, error) {
	// The decoder's own limit would also refuse frames whose window is larger than their content; tools that compress from a pipe
	// write such frames. So we use the other limit of the decoder, the capacity of the output slice.
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return nil, err
	}
	size := min(limit, max(4*len(src), 1<<10))
	if h.HasFCS {
		if h.FrameContentSize > uint64(limit) {
			return nil, &SizeError{Size: int64(min(h.FrameContentSize, math.MaxInt64)), Limit: limit}
		}
		size = int(h.FrameContentSize)
	}
	// The loop runs more than once only for frames that do not hold their size, and for several frames in a row.
	for {
		b, err := z.decoder.DecodeAll(src, make([]byte, 0, size))
		if !errors.Is(err, zstd.ErrDecoderSizeExceeded) {
			return b, err
		}
		if size == limit {
			return nil, &SizeError{Size: int64(limit) + 1, Limit: limit}
		}
		size = min(limit, max(4*size, 1<<10))
	}
}
