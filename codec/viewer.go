package codec

// A Viewer is a [Codec] whose values hold their encoding already: [Bytes], [RawJSON] and protobuf.Raw are. A producer
// copies such a value once, from the value into its batch. With AppendEncode alone the producer would copy twice, because
// no codec may run while the batch is locked.
type Viewer[T any] interface {
	Codec[T]

	// View returns the bytes that AppendEncode appends for v, in the memory of v, after the same checks. The receiver only
	// reads the bytes, and no longer than v may be used.
	View(v T) ([]byte, error)
}
