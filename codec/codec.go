package codec

import "github.com/headrace/headrace/backend"

// A Format says what encoded values are. It is [backend.Format] under another name, so that a codec needs no import of its own
// for it.
type Format = backend.Format

// A Codec turns values of T into bytes and back. It is safe for use from many goroutines at once.
type Codec[T any] interface {
	// Format says what AppendEncode writes. A decorator starts from the inner codec's, so that nothing is lost on the
	// way.
	Format() Format

	// AppendEncode appends the encoding of v to dst and returns the result, as [encoding.BinaryAppender] does. On an
	// error it returns dst as it was given.
	//
	// The result belongs to the caller, with all of its capacity: the caller may write to it, append to it and use its
	// memory for the next value. So it lies in the memory of dst or in memory that was allocated for it. A codec never
	// returns memory of v, not even for an empty dst, and never memory that the codec keeps. It writes only behind dst.
	AppendEncode(dst []byte, v T) ([]byte, error)

	// Decode returns the value that src encodes. src is never written again, neither by Decode nor by its caller, so the
	// value may point into it. The value belongs to the caller: it never points into memory that the codec uses again.
	Decode(src []byte) (T, error)
}
