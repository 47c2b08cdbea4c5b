package codec

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// RawJSON returns the codec for values that are JSON text already, content type application/json. Each value is one JSON
// text of any kind. A value that is not is refused, both ways, because the content type promises it to every other reader
// of the stream. As in [JSON], an object that has a name twice and a string that is not valid UTF-8 are refused.
//
// Encoding copies v behind dst as it is, white space included. Decoding copies nothing: see [Bytes] for what that means.
func RawJSON() Codec[[]byte] { return rawJSONCodec{} }

type rawJSONCodec struct{}

func (rawJSONCodec) Format() Format { return Format{ContentType: "application/json"} }

func (rawJSONCodec) AppendEncode(dst, v []byte) ([]byte, error) {
	if err := checkJSON(v); err != nil {
		return dst, wrapError("raw json: encode", err)
	}
	return append(dst, v...), nil
}

func (rawJSONCodec) Decode(src []byte) ([]byte, error) {
	if err := checkJSON(src); err != nil {
		return nil, wrapError("raw json: decode", err)
	}
	return src[:len(src):len(src)], nil
}

// strictJSON is what JSON itself demands: the engine's checks of text are more lenient by default.
var strictJSON = []jsontext.Options{jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false)}

// checkJSON returns what is wrong with b. The engine's check does not tell, so a text that fails it is read once more.
func checkJSON(b []byte) error {
	text := jsontext.Value(b)
	if text.IsValid(strictJSON...) {
		return nil
	}
	text = bytes.Clone(text)
	return text.Compact(strictJSON...)
}
