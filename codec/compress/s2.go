package compress

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"slices"

	"github.com/klauspost/compress/s2"
)

// Both formats are streams of chunks. A chunk has a byte for the type, three bytes for the length, and a body. The first chunk names
// the format. The library makes the blocks in the chunks, and this file makes the stream: the library's writer and reader use
// buffers of a megabyte each, and the reader cannot tell the size of a record in advance.
var (
	s2Magic     = []byte("\xff\x06\x00\x00S2sTwO")
	snappyMagic = []byte("\xff\x06\x00\x00sNaPpY")

	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

const (
	chunkCompressed   = 0x00
	chunkUncompressed = 0x01
	chunkLength       = 0x80 // our own type; other readers skip the chunk
	chunkSkippable    = 0x80 // and above, up to the magic
	chunkMagic        = 0xff

	chunkHead = 4 // type and length
	chunkSum  = 4 // the checksum at the beginning of a chunk of data

	// The block sizes are the sizes of the library's own writers. S2 allows up to 4 MiB; Snappy allows no more than 64 KiB.
	s2Block     = 1 << 20
	snappyBlock = 64 << 10
)

// lengthName is the beginning of the body of the length chunk; a varint behind the name holds the length of the value. Neither
// format holds the length, so without the chunk a record that is cut behind a chunk would decode to a part of the value. Records of
// other writers have no length chunk, and are read without the check.
const lengthName = "length"

var (
	errChunk = errors.New("corrupt chunk")
	errShort = errors.New("the record is cut short")
)

// An s2Coder has no state that changes from record to record.
type s2Coder struct {
	magic  []byte
	block  int
	encode func(dst, src []byte) []byte
}

func newS2Coder(cfg config) *s2Coder {
	encoders := [...]func(dst, src []byte) []byte{s2.Encode, s2.EncodeBetter, s2.EncodeBest}
	return &s2Coder{magic: s2Magic, block: s2Block, encode: encoders[*cfg.level-1]}
}

func newSnappyCoder(cfg config) *s2Coder {
	encoders := [...]func(dst, src []byte) []byte{s2.EncodeSnappy, s2.EncodeSnappyBetter, s2.EncodeSnappyBest}
	return &s2Coder{magic: snappyMagic, block: snappyBlock, encode: encoders[*cfg.level-1]}
}

// framed accepts the magic of both formats, because decompress reads both.
func (c *s2Coder) framed(b []byte) bool {
	return bytes.HasPrefix(b, s2Magic) || bytes.HasPrefix(b, snappyMagic)
}

func (c *s2Coder) compress(dst, src []byte) []byte {
	dst = append(dst, c.magic...)
	dst = appendLength(dst, len(src))
	for len(src) > 0 {
		part := src[:min(len(src), c.block)]
		src = src[len(part):]

		head := len(dst)
		room := s2.MaxEncodedLen(len(part))
		dst = slices.Grow(dst, chunkHead+chunkSum+room)[:head+chunkHead+chunkSum]
		kind := byte(chunkCompressed)
		body := c.encode(dst[len(dst):len(dst)+room], part)
		if len(body) < len(part) {
			dst = dst[:len(dst)+len(body)]
		} else {
			kind = chunkUncompressed
			dst = append(dst, part...)
		}
		binary.LittleEndian.PutUint32(dst[head:], uint32(len(dst)-head-chunkHead)<<8|uint32(kind))
		binary.LittleEndian.PutUint32(dst[head+chunkHead:], checksum(part))
	}
	return dst
}

func appendLength(dst []byte, n int) []byte {
	head := len(dst)
	dst = append(dst, chunkLength, 0, 0, 0)
	dst = binary.AppendUvarint(append(dst, lengthName...), uint64(n))
	dst[head+1] = byte(len(dst) - head - chunkHead)
	return dst
}

// checksum returns the CRC-32C of b, masked as the formats demand. The formats mask checksums because data may itself hold streams
// with checksums.
func checksum(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

func (c *s2Coder) decompress(src []byte, limit int) ([]byte, error) {
	// Each chunk begins with its size. So a first pass over the heads finds the size of the value before we allocate memory.
	size, want, seen := 0, -1, false
	for rest := src; len(rest) > 0; {
		var k chunk
		var err error
		if k, rest, err = nextChunk(rest); err != nil {
			return nil, err
		}
		if k.size > limit-size {
			return nil, &SizeError{Size: int64(size) + int64(k.size), Limit: limit}
		}
		size += k.size
		seen = seen || k.data != nil || k.length >= 0
		if k.length >= 0 {
			want = max(want, 0) + k.length // records may be joined, so lengths add up
		}
	}
	if !seen || want >= 0 && want != size {
		return nil, fmt.Errorf("%w: %d bytes, want %d", errShort, size, max(want, 0))
	}
	out := make([]byte, 0, size)
	for rest := src; len(rest) > 0; {
		var k chunk
		k, rest, _ = nextChunk(rest)
		if k.data == nil {
			continue
		}
		start, end := len(out), len(out)+k.size
		if k.compressed {
			if _, err := s2.Decode(out[start:end:end], k.data); err != nil {
				return nil, err
			}
			out = out[:end]
		} else {
			out = append(out, k.data...)
		}
		if checksum(out[start:]) != k.sum {
			return nil, fmt.Errorf("%w: checksum mismatch", errChunk)
		}
	}
	return out, nil
}

type chunk struct {
	size       int // decompressed
	sum        uint32
	length     int    // of the value, if the chunk says it; else -1
	data       []byte // nil for a chunk that holds none
	compressed bool
}

func nextChunk(src []byte) (k chunk, rest []byte, err error) {
	k.length = -1
	if len(src) < chunkHead {
		return k, nil, fmt.Errorf("%w: cut short", errChunk)
	}
	kind, n := src[0], int(binary.LittleEndian.Uint32(src)>>8)
	body := src[chunkHead:]
	if len(body) < n {
		return k, nil, fmt.Errorf("%w: cut short", errChunk)
	}
	body, rest = body[:n], body[n:]
	switch {
	case kind == chunkMagic:
		if !bytes.Equal(body, s2Magic[chunkHead:]) && !bytes.Equal(body, snappyMagic[chunkHead:]) {
			return k, nil, fmt.Errorf("%w: not the name of a known format", errChunk)
		}
		return k, rest, nil
	case kind == chunkLength && bytes.HasPrefix(body, []byte(lengthName)):
		n, used := binary.Uvarint(body[len(lengthName):])
		if used != len(body)-len(lengthName) || n > math.MaxInt32 {
			return k, nil, fmt.Errorf("%w: the length of the value", errChunk)
		}
		k.length = int(n)
		return k, rest, nil
	case kind >= chunkSkippable:
		return k, rest, nil
	case kind > chunkUncompressed:
		return k, nil, fmt.Errorf("%w: type %#x", errChunk, kind)
	case n < chunkSum:
		return k, nil, fmt.Errorf("%w: cut short", errChunk)
	}
	k.sum, k.data = binary.LittleEndian.Uint32(body), body[chunkSum:]
	k.size, k.compressed = len(k.data), kind == chunkCompressed
	if k.compressed {
		if k.size, err = s2.DecodedLen(k.data); err != nil {
			return k, nil, err
		}
	}
	return k, rest, nil
}
