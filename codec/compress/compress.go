package compress

import (
	"github.com/headrace/headrace/codec"
)

// Zstd returns c with its records compressed as zstd frames (RFC 8878) with a checksum: the best ratio for its speed, and
// with a [Dictionary] the only one here that does much for small records. [Level] is 1 to 22 as in the reference
// implementation, 3 unless given; the encoder knows four degrees, which begin at 1, 3, 6 and 10. Content encoding "zstd".
//
// maxDecoded is the largest value in bytes that a record may decode to; see [SizeError]. Zstd panics if it is less than
// 1 or an option is out of range, because both are mistakes in the program.
func Zstd[T any](c codec.Codec[T], maxDecoded int, opts ...Option) codec.Codec[T] {
	cfg := newConfig("Zstd", abilities{normal: 3, last: 22, dictionary: true}, maxDecoded, opts)
	return wrap(c, "zstd", cfg, newZstdCoder(cfg))
}

// Gzip returns c with its records compressed as gzip members (RFC 1952), which everything can read. [Level] is 1 to 9, 6
// unless given. Content encoding "gzip". Of maxDecoded and panics see [Zstd].
func Gzip[T any](c codec.Codec[T], maxDecoded int, opts ...Option) codec.Codec[T] {
	cfg := newConfig("Gzip", abilities{normal: 6, last: 9}, maxDecoded, opts)
	return wrap(c, "gzip", cfg, newGzipCoder(cfg))
}

// S2 returns c with its records compressed as S2 streams, Snappy's faster successor. [Level] is 1 (fast) to 3 (small), 1
// unless given. Content encoding "s2", a name that is not registered anywhere. Snappy records are read as well. Data is
// under a checksum. A chunk that other readers skip holds the length of the value, so that a record which is cut short is
// refused. Of maxDecoded and panics see [Zstd].
func S2[T any](c codec.Codec[T], maxDecoded int, opts ...Option) codec.Codec[T] {
	cfg := newConfig("S2", abilities{normal: 1, last: 3}, maxDecoded, opts)
	return wrap(c, "s2", cfg, newS2Coder(cfg))
}

// Snappy returns c with its records compressed in the framing format of Snappy, for streams that others read. [Level] is
// 1 (fast) to 3 (small), 1 unless given. Content encoding "x-snappy-framed". S2 records are read as well. Of maxDecoded
// and panics see [Zstd].
func Snappy[T any](c codec.Codec[T], maxDecoded int, opts ...Option) codec.Codec[T] {
	cfg := newConfig("Snappy", abilities{normal: 1, last: 3}, maxDecoded, opts)
	return wrap(c, "x-snappy-framed", cfg, newSnappyCoder(cfg))
}

// A coder is one format. It is used from many goroutines at once.
type coder interface {
	// framed reports whether b begins with the magic of the format.
	framed(b []byte) bool

	// compress appends a frame that holds src. It cannot fail.
	compress(dst, src []byte) []byte

	// decompress returns what the frames in src hold, in memory of its own, or an error that wraps a SizeError if that is
	// more than limit bytes.
	decompress(src []byte, limit int) ([]byte, error)
}
