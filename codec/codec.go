package codec

import "github.com/headrace/headrace/backend"

// A Format describes the encoded values. Format is an alias of [backend.Format], so that a codec does not have to import package
// backend.
type Format = backend.Format

// A Codec turns values of T into bytes and back. A Codec is safe for use from many goroutines at the same time.
type Codec[T any] interface {
	// Format describes the bytes that AppendEncode writes. A decorator starts from the Format of the inner codec, so that no
	// part of the Format is lost.
	Format() Format

	// AppendEncode appends the encoding of v to dst and returns the result, like [encoding.BinaryAppender]. On an error
	// AppendEncode returns dst unchanged.
	//
	// The result belongs to the caller, with all of its capacity: the caller may write to the result, append to the result, and
	// use its memory for the next value. Therefore the result lies in the memory of dst or in newly allocated memory. A codec
	// never returns memory of v, not even for an empty dst, and never memory that the codec keeps. A codec writes only behind
	// dst.
	AppendEncode(dst []byte, v T) ([]byte, error)

	// Decode returns the value encoded by src. Neither Decode nor its caller ever writes to src again, so the value may point
	// into src. The value belongs to the caller and never points into memory that the codec uses again.
	Decode(src []byte) (T, error)
}
