package protobuf

import "buf.build/go/protovalidate"

// An Option adjusts the codec of a message.
type Option func(*config)

type config struct {
	json          bool
	protoNames    bool
	deterministic bool
	contentType   *string
	rules         *[]protovalidate.ValidatorOption // nil without Validate
}

// JSON writes and reads the canonical JSON of Protocol Buffers instead of binary. JSON writes field names in
// lowerCamelCase, and reads both spellings of a name. protojson varies the white space between builds of a program on
// purpose, so do not compare the bytes. JSON costs several times as much as binary.
func JSON() Option { return func(c *config) { c.json = true } }

// ProtoNames is [JSON] with the field names as the .proto file spells them. Use ProtoNames for a store with the field
// names as column names.
func ProtoNames() Option { return func(c *config) { c.json, c.protoNames = true, true } }

// Deterministic writes maps in the order of their keys, so that a build of a program encodes equal messages to equal
// bytes. Another build or another language may write other bytes. JSON writes maps in order anyway.
func Deterministic() Option { return func(c *config) { c.deterministic = true } }

// ContentType replaces the content type of this package. Use ContentType for a stream of somebody else.
func ContentType(mediaType string) Option { return func(c *config) { c.contentType = &mediaType } }

// Validate checks every message against its protovalidate rules, before encoding and after decoding. A message
// against a rule is refused with a [*ValidationError] inside a codec.InvalidError. A message without rules is always
// valid.
//
// Making the codec compiles the rules of the message and of all messages in it. If a rule does not compile, [Codec]
// panics, because the .proto file has a mistake.
func Validate(opts ...protovalidate.ValidatorOption) Option {
	return func(c *config) { c.rules = &opts }
}
