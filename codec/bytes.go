package codec

// Bytes returns the codec for values that are bytes already, content type application/octet-stream. Nil and empty are
// one value.
//
// Encoding copies v behind dst. Decoding copies nothing: the slice it returns is the record itself, so keeping a small
// one keeps the buffer of its whole batch alive (bytes.Clone what you keep). Its capacity is its length: appending to it
// never reaches the record behind.
func Bytes() Codec[[]byte] { return bytesCodec{} }

type bytesCodec struct{}

func (bytesCodec) Format() Format { return Format{ContentType: "application/octet-stream"} }

func (bytesCodec) AppendEncode(dst, v []byte) ([]byte, error) { return append(dst, v...), nil }

func (bytesCodec) Decode(src []byte) ([]byte, error) { return src[:len(src):len(src)], nil }
