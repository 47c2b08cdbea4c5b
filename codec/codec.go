package codec

// A Format says what encoded values are, in HTTP's terms, plus the schema of their type when it has one. It has the
// fields of backend.Format, so that one converts to the other.
type Format struct {
	ContentType     string // a media type such as "application/json"; "" is unknown
	ContentEncoding string // such as "zstd"; "" is none
	Schema          []byte // a serialized google.protobuf.DescriptorProto for protobuf types; nil for none
}

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
