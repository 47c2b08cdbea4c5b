package protobuf

import (
	"errors"
	"fmt"
	"mime"

	"buf.build/go/protovalidate"
	"github.com/headrace/headrace/codec"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

var errNil = errors.New("nil message")

// Codec returns the codec for messages of type T. T is the pointer to a generated struct, such as *orderspb.Order.
// Without options the encoding is binary.
//
// Codec panics if T is not the type of a generated message: use [Dynamic] for *dynamicpb.Message. Codec also panics if a
// rule for [Validate] does not compile. Both are mistakes in the program.
func Codec[T proto.Message](opts ...Option) codec.Codec[T] {
	return newCodec[T](messageType[T](), opts)
}

func newCodec[T proto.Message](message protoreflect.MessageType, opts []Option) codec.Codec[T] {
	c := &protoCodec[T]{message: message}
	for _, o := range opts {
		o(&c.config)
	}
	desc := c.message.Descriptor()
	c.name = desc.FullName()
	c.format = codec.Format{ContentType: contentType(&c.config, c.name), Schema: schema(desc)}
	if c.rules != nil {
		c.validator = newValidator(desc, *c.rules)
	}
	return c
}

type protoCodec[T proto.Message] struct {
	config
	message   protoreflect.MessageType
	name      protoreflect.FullName
	format    codec.Format
	validator protovalidate.Validator // nil without Validate
}

func messageType[T proto.Message]() (mt protoreflect.MessageType) {
	var zero T
	switch any(zero).(type) {
	case nil:
		panic("protobuf: Codec needs the type of one message, not an interface")
	case *dynamicpb.Message:
		panic("protobuf: Codec needs a generated message type; Dynamic makes the codec of a descriptor")
	}
	defer func() {
		// A generated type answers ProtoReflect for a nil pointer. Other types keep their descriptor in the value, and
		// panic for nil.
		if p := recover(); p != nil {
			panic(fmt.Sprintf("protobuf: Codec needs a generated message type, %T is none", zero))
		}
	}()
	mt = zero.ProtoReflect().Type()
	if _, ok := mt.New().Interface().(T); !ok {
		panic("a type with another's reflection")
	}
	return mt
}

// contentType returns the media type of the records. In binary the media type names the message, because the bytes do not.
func contentType(c *config, name protoreflect.FullName) string {
	switch {
	case c.contentType != nil:
		return *c.contentType
	case c.json:
		return "application/json"
	}
	return mime.FormatMediaType("application/x-protobuf", map[string]string{"proto": string(name)})
}

func (c *protoCodec[T]) Format() codec.Format { return c.format }

func (c *protoCodec[T]) AppendEncode(dst []byte, v T) ([]byte, error) {
	if err := c.check(v); err != nil {
		return dst, c.failed("encode", err)
	}
	if c.validator != nil {
		if err := c.validate(v); err != nil {
			return dst, err
		}
	}
	var out []byte
	var err error
	if c.json {
		out, err = protojson.MarshalOptions{UseProtoNames: c.protoNames}.MarshalAppend(dst, v)
	} else {
		out, err = proto.MarshalOptions{Deterministic: c.deterministic}.MarshalAppend(dst, v)
	}
	if err != nil {
		return dst, c.failed("encode", err)
	}
	return out, nil
}

// check refuses a value that is not a message of the codec's type. A dynamic message can hold any type.
func (c *protoCodec[T]) check(v T) error {
	if dynamic, ok := any(v).(*dynamicpb.Message); ok && dynamic == nil || any(v) == nil {
		return errNil
	}
	// IsValid is false for a nil pointer to a generated message, which is not a nil interface.
	m := v.ProtoReflect()
	if !m.IsValid() {
		return errNil
	}
	if name := m.Descriptor().FullName(); name != c.name {
		return fmt.Errorf("a message of type %s", name)
	}
	return nil
}

func (c *protoCodec[T]) Decode(src []byte) (T, error) {
	var zero T
	v := c.message.New().Interface().(T)
	var err error
	if c.json {
		err = protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(src, v)
	} else {
		err = proto.Unmarshal(src, v)
	}
	if err != nil {
		return zero, c.failed("decode", err)
	}
	if c.validator != nil {
		if err := c.validate(v); err != nil {
			return zero, err
		}
	}
	return v, nil
}

func (c *protoCodec[T]) failed(op string, err error) error {
	return fmt.Errorf("protobuf: %s %s: %w", op, c.name, err)
}
