package compress

import (
	"github.com/headrace/headrace/codec"
)

// Zstd returns c with its records compressed as zstd frames (RFC 8878) with a checksum. Zstd has the best ratio for its speed; with
// a [Dictionary], only Zstd makes small records much smaller. [Level] is 1 to 22 as in the reference implementation, default 1; the
// encoder knows four degrees, which begin at 1, 3, 6 and 10. The content encoding is "zstd".
//
// maxDecoded is the size in bytes of the largest value to which a record may decode; see [SizeError]. Zstd panics when maxDecoded
// is less than 1 or an option is out of range, because both are mistakes in the program.
func Zstd[T any](c codec.Codec[T], maxDecoded int, opts ...Option) codec.Codec[T] {
	// Level 1 takes a quarter to a third less time than level 3, and a record has about the same size, with a dictionary a smaller
	// one. docs/performance.md has the figures for records of 100 bytes to 10 KB.
	cfg := newConfig("Zstd", abilities{normal: 1, last: 22, dictionary: true}, maxDecoded, opts)
	return wrap(c, "zstd", cfg, newZstdCoder(cfg))
}

// Gzip returns c with its records compressed as gzip members (RFC 1952), which nearly every program can read. [Level] is 1 to 9,
// default 6. The content encoding is "gzip". For maxDecoded and panics see [Zstd].
func Gzip[T any](c codec.Codec[T], maxDecoded int, opts ...Option) codec.Codec[T] {
	cfg := newConfig("Gzip", abilities{normal: 6, last: 9}, maxDecoded, opts)
	return wrap(c, "gzip", cfg, newGzipCoder(cfg))
}

// S2 returns c with its records compressed as S2 streams; S2 is the faster successor of Snappy. [Level] is 1 (fast) to 3 (small),
// default 1. The content encoding is "s2", a name that is not registered anywhere. The codec reads Snappy records too. Data has a
// checksum. A chunk that other readers skip holds the length of the value, so that a record which is cut short is refused. For
// maxDecoded and panics see [Zstd].
func S2[T any](c codec.Codec[T], maxDecoded int, opts ...Option) codec.Codec[T] {
	cfg := newConfig("S2", abilities{normal: 1, last: 3}, maxDecoded, opts)
	return wrap(c, "s2", cfg, newS2Coder(cfg))
}

// Snappy returns c with its records compressed in the framing format of Snappy, for streams that other programs read. [Level] is 1
// (fast) to 3 (small), default 1. The content encoding is "x-snappy-framed". The codec reads S2 records too. For maxDecoded and
// panics see [Zstd].
func Snappy[T any](c codec.Codec[T], maxDecoded int, opts ...Option) codec.Codec[T] {
	cfg := newConfig("Snappy", abilities{normal: 1, last: 3}, maxDecoded, opts)
	return wrap(c, "x-snappy-framed", cfg, newSnappyCoder(cfg))
}

// A coder implements a format. Many goroutines use a coder at the same time.
type coder interface {
	// framed reports whether b begins with the magic of the format.
	framed(b []byte) bool

	// compress appends a frame that holds src, and cannot fail.
	compress(dst, src []byte) []byte

	// decompress returns the content of the frames in src, in new memory. For more than limit bytes the error wraps a SizeError.
	decompress(src []byte, limit int) ([]byte, error)
}
