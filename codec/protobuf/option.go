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

// JSON writes and reads the canonical JSON of Protocol Buffers instead of binary, with names in lowerCamelCase; both
// spellings of a name are read. Its white space differs between builds of a program, on purpose: do not compare the
// bytes. It costs several times what binary does.
func JSON() Option { return func(c *config) { c.json = true } }

// ProtoNames is [JSON] with the names of fields as they are in the .proto file, which is what a store needs that takes
// them for the names of columns.
func ProtoNames() Option { return func(c *config) { c.json, c.protoNames = true, true } }

// Deterministic writes maps in the order of their keys, so that one build of a program gives equal messages equal bytes.
// Another build or language may give others. JSON is in order already.
func Deterministic() Option { return func(c *config) { c.deterministic = true } }

// ContentType sets the content type to another one than this package chooses, for a stream that somebody else created.
func ContentType(mediaType string) Option { return func(c *config) { c.contentType = &mediaType } }

// Validate checks every message against its protovalidate rules, before it is encoded and after it is decoded. What
// breaks them is refused with a [*ValidationError] inside a codec.InvalidError. A message without rules is always valid.
//
// The rules of the message and of all it contains are compiled when the codec is made; [Codec] panics if that fails, which
// is a mistake in the .proto file.
func Validate(opts ...protovalidate.ValidatorOption) Option {
	return func(c *config) { c.rules = &opts }
}
