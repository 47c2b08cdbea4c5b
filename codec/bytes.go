package codec

// Bytes returns the codec for values that are bytes already, content type application/octet-stream. Nil and empty are the
// same value.
//
// Encoding copies v behind dst. Decoding copies nothing: the returned slice is the record itself. A small slice that is kept
// therefore keeps the buffer of its whole batch alive; use bytes.Clone for slices that you keep. The capacity of the slice is
// its length, so an append never overwrites the record behind.
func Bytes() Codec[[]byte] { return bytesCodec{} }

type bytesCodec struct{}

func (bytesCodec) Format() Format { return Format{ContentType: "application/octet-stream"} }

func (bytesCodec) AppendEncode(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }

func (bytesCodec) View(v []byte) ([]byte, error) { return v, nil }

func (bytesCodec) Decode(src []byte) ([]byte, error) { return src[:len(src):len(src)], nil }
