package codec

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Envelope is a [Union] for stores that keep no headers: the name of the type travels in the bytes of the record.
//
// If all cases have the content type application/json, a record is the JSON object {"type":"…","value":…}, which every JSON store
// takes. A reader accepts the two members in any order, and ignores others. Otherwise a record is the length of the name as an
// unsigned varint, the name, and the bytes of the codec of the type; the content type is application/octet-stream.
//
// A record that was written with a Union cannot be read with an Envelope, nor the other way round.
func Envelope[T any](cases ...UnionCase[T]) Codec[T] {
	u := newUnion("Envelope", cases)
	e := &envelopeCodec[T]{u, binaryFrame{}}
	if u.contentType == "application/json" {
		e.frame = newJSONFrame(u.byName)
	}
	return e
}

// A frame puts a name in front of bytes.
type frame interface {
	contentType() string
	begin(dst, name []byte) []byte
	end(dst []byte) []byte
	split(src []byte) (name, value []byte, err error)
}

type envelopeCodec[T any] struct {
	union[T]
	frame frame
}

func (c *envelopeCodec[T]) Format() Format { return Format{ContentType: c.frame.contentType()} }

func (c *envelopeCodec[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	one, err := c.of(v)
	if err != nil {
		return dst, err
	}
	out, err := one.codec.appendEncode(c.frame.begin(dst, one.name), v)
	if err != nil {
		return dst, err
	}
	return c.frame.end(out), nil
}

func (c *envelopeCodec[T]) Decode(src []byte) (t T, err error) {
	name, value, err := c.frame.split(src)
	if err != nil {
		return t, fmt.Errorf("codec: envelope: %w", err)
	}
	one, err := c.named(name)
	if err != nil {
		return t, err
	}
	return one.codec.decode(value, nil)
}

type binaryFrame struct{}

func (binaryFrame) contentType() string { return "application/octet-stream" }

func (binaryFrame) begin(dst, name []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(name))), name...)
}

func (binaryFrame) end(dst []byte) []byte { return dst }

func (binaryFrame) split(src []byte) (name, value []byte, err error) {
	n, width := binary.Uvarint(src)
	if width <= 0 || n > uint64(len(src)-width) {
		return nil, nil, errors.New("the record does not begin with the name of its type")
	}
	behind := width + int(n)
	return src[width:behind], src[behind:len(src):len(src)], nil
}

// A jsonFrame holds the text in front of the value for each name, so that names are quoted once.
type jsonFrame map[string][]byte

func newJSONFrame[C any](names map[string]C) jsonFrame {
	f := make(jsonFrame, len(names))
	for name := range names {
		quoted, err := jsontext.AppendQuote([]byte(`{"type":`), name)
		if err != nil {
			panic(fmt.Sprintf("codec: Envelope: the name %q is not UTF-8", name))
		}
		f[name] = append(quoted, `,"value":`...)
	}
	return f
}

func (jsonFrame) contentType() string { return "application/json" }

func (f jsonFrame) begin(dst, name []byte) []byte { return append(dst, f[string(name)]...) }

func (jsonFrame) end(dst []byte) []byte { return append(dst, '}') }

func (jsonFrame) split(src []byte) (name, value []byte, err error) {
	var envelope struct {
		Type  *string        `json:"type"`
		Value jsontext.Value `json:"value"`
	}
	if err := json.Unmarshal(src, &envelope); err != nil {
		return nil, nil, err
	}
	switch {
	case envelope.Type == nil:
		return nil, nil, errors.New(`the object has no member "type" that names its type`)
	case envelope.Value == nil:
		return nil, nil, errors.New(`the object has no member "value"`)
	}
	return []byte(*envelope.Type), envelope.Value, nil
}
