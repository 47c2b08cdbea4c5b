package codec

import (
	"errors"
	"unicode/utf8"
)

var errNotUTF8 = errors.New("not valid UTF-8 (use Bytes for values that are not text)")

// String returns the codec for text, content type text/plain; charset=utf-8. Encoding and decoding refuse a string of invalid
// UTF-8, because the content type promises UTF-8 to every reader of the stream.
//
// Decoding copies. Decoding could alias the record, but if somebody broke the promise and wrote to a record, a string would change
// in the hands of its owner, and nobody would find such a bug.
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
