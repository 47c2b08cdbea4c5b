package codec

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"
)

// RawJSON returns the codec for values that are JSON text already, content type application/json. Each value is a JSON text of any
// kind. Every other value is refused by encoding and by decoding, because the content type promises JSON to every reader of the
// stream. As in [JSON], an object with a repeated name and a string of invalid UTF-8 are refused.
//
// Encoding copies v behind dst unchanged, white space included. Decoding copies nothing; [Bytes] explains the consequences.
func RawJSON() Codec[[]byte] { return rawJSONCodec{} }

type rawJSONCodec struct{}

func (rawJSONCodec) Format() Format { return Format{ContentType: "application/json"} }

func (c rawJSONCodec) AppendEncode(dst, v []byte) ([]byte, error) {
	text, err := c.View(v)
	return append(dst, text...), err
}

func (rawJSONCodec) View(v []byte) ([]byte, error) {
	if err := checkJSON(v); err != nil {
		return nil, wrapError("raw json: encode", err)
	}
	return v, nil
}

func (rawJSONCodec) Decode(src []byte) ([]byte, error) {
	if err := checkJSON(src); err != nil {
		return nil, wrapError("raw json: decode", err)
	}
	return src[:len(src):len(src)], nil
}

// strictJSON holds the demands of the JSON standard. By default the engine's checks of text are more lenient.
var strictJSON = []jsontext.Options{jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false)}

// checkJSON returns an error that says what is wrong with b. The fast check of the engine gives no reason, so we read a wrong text
// a second time, with Compact, to get the reason. Compact writes into its text; therefore we clone b.
func checkJSON(b []byte) error {
	text := jsontext.Value(b)
	if text.IsValid(strictJSON...) {
		return nil
	}
	text = bytes.Clone(text)
	return text.Compact(strictJSON...)
}
