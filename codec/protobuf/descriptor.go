package protobuf

import (
	"fmt"

	"github.com/headrace/headrace/codec"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Dynamic returns the codec for the messages of a descriptor. Dynamic is for programs without a generated type, for
// example because the descriptor comes from a schema registry, a file or a server. With the same options, Dynamic writes the
// same bytes as [Codec] with the generated type. A message of another type is refused.
//
// Dynamic panics if the descriptor is nil, or is a placeholder for a descriptor that was not found. Dynamic also panics
// if a rule for [Validate] does not compile.
func Dynamic(message protoreflect.MessageDescriptor, opts ...Option) codec.Codec[*dynamicpb.Message] {
	mustDescribe("Dynamic", message)
	return newCodec[*dynamicpb.Message](dynamicpb.NewMessageType(message), opts)
}

// Raw returns the codec for values in the form of encoded messages, in binary. Its format is the format of [Codec]
// for the described message.
//
// Encoding and decoding refuse a value that is not a well-formed sequence of fields. Neither checks whether the
// fields belong to the message, because the check would cost as much as decoding. An empty value is the empty
// message. Encoding copies v behind dst. Decoding copies nothing: the returned slice is the record itself. So a program
// with a small slice keeps the buffer of the whole batch in memory.
//
// Raw panics if the descriptor is nil, or is a placeholder for a descriptor that was not found.
func Raw(message protoreflect.MessageDescriptor) codec.Codec[[]byte] {
	mustDescribe("Raw", message)
	name := message.FullName()
	return &rawCodec{
		name:   name,
		format: codec.Format{ContentType: contentType(new(config), name), Schema: schema(message)},
	}
}

func mustDescribe(function string, message protoreflect.MessageDescriptor) {
	switch {
	case message == nil:
		panic(fmt.Sprintf("protobuf: %s needs a descriptor, not nil", function))
	case message.IsPlaceholder():
		panic(fmt.Sprintf("protobuf: %s: the descriptor of %s is only a placeholder: its file was not found", function, message.FullName()))
	}
}

type rawCodec struct {
	name   protoreflect.FullName
	format codec.Format
}

func (c *rawCodec) Format() codec.Format { return c.format }

func (c *rawCodec) AppendEncode(dst, v []byte) ([]byte, error) {
	message, err := c.View(v)
	return append(dst, message...), err
}

func (c *rawCodec) View(v []byte) ([]byte, error) {
	if err := wellFormed(v); err != nil {
		return nil, fmt.Errorf("protobuf: encode %s: %w", c.name, err)
	}
	return v, nil
}

func (c *rawCodec) Decode(src []byte) ([]byte, error) {
	if err := wellFormed(src); err != nil {
		return nil, fmt.Errorf("protobuf: decode %s: %w", c.name, err)
	}
	return src[:len(src):len(src)], nil
}

// wellFormed refuses bytes that no reader of protobuf can split into fields. A store that unpacks records would refuse such
// a record too, but together with its whole batch.
func wellFormed(b []byte) error {
	for at := 0; at < len(b); {
		_, _, n := protowire.ConsumeField(b[at:])
		if n < 0 {
			return fmt.Errorf("the field at byte %d: %w", at, protowire.ParseError(n))
		}
		at += n
	}
	return nil
}
