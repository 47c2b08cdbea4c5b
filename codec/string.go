package codec

import (
	"errors"
	"unicode/utf8"
)

var errNotUTF8 = errors.New("not valid UTF-8 (use Bytes for what is not text)")

// String returns the codec for text, content type text/plain; charset=utf-8. A string that is not valid UTF-8 is refused,
// both ways, because the content type promises it to every other reader of the stream.
//
// Decoding copies. It could alias, but a string that changes under its owner when somebody breaks the promise not to
// write to a record is a bug nobody finds.
func String() Codec[string] { return stringCodec{} }

type stringCodec struct{}

func (stringCodec) Format() Format { return Format{ContentType: "text/plain; charset=utf-8"} }

func (stringCodec) AppendEncode(dst []byte, v string) ([]byte, error) {
	if !utf8.ValidString(v) {
		return dst, wrapError("string: encode", errNotUTF8)
	}
	return append(dst, v...), nil
}

func (stringCodec) Decode(src []byte) (string, error) {
	if !utf8.Valid(src) {
		return "", wrapError("string: decode", errNotUTF8)
	}
	return string(src), nil
}
