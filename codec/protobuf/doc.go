// Package protobuf is the codec for Protocol Buffers messages, in binary or JSON. The codec can validate messages, and
// gives the schema of the message to stores that ask for a schema.
//
//	c := protobuf.Codec[*orderspb.Order](protobuf.Validate())
//
// [Dynamic] is the codec for programs with a descriptor and no generated type. [Raw] is the codec for messages in
// encoded form. For the same message, all three have the same content type and schema.
//
// # Contract
//
// A record is one message, without a length in front. Encoding appends, and binary encoding allocates no memory.
// Decoding copies, and makes a new message each time. A nil message is refused, because the store would get an
// empty record, and readers would get an empty message. An empty message is allowed. Encoding and decoding refuse a message
// without its required fields, and a string that is not valid UTF-8 where the syntax of the .proto file asks for UTF-8.
//
// In binary, decoding keeps fields unknown to the reader's version of a message. So an old program can read a message
// and write the message again without damage. In JSON, unknown fields are ignored, because protojson cannot keep them.
//
// # Content type
//
// The content type of binary records is application/x-protobuf, with the full name of the message as the parameter
// proto:
//
//	application/x-protobuf; proto=acme.orders.v1.Order
//
// We add the name because the bytes do not contain the name: the bytes of a customer can be decoded as an order without an
// error. A store that compares whole content types refuses the producer of another message. A store that compares media
// types alone cannot see the difference. The content type of JSON records is plain application/json. [ContentType] sets
// another content type.
//
// # Schema
//
// Format().Schema is the descriptor of the message: a serialized google.protobuf.DescriptorProto without references to
// the outside. Stores take this form to check or unpack records. Every type within the reach of the message, in
// other messages, files and the well-known types, is nested in the descriptor:
//
//   - A type declared inside another needed type stays in its place. Other messages are nested in the root,
//     under their full name with underscores, such as google_protobuf_Timestamp. Other enums are nested in the root
//     too, each in a message of its own, because enum values share the names of the scope around the enum. Types without a
//     reference are left out.
//   - References are written as for a file without a package, with only this message:
//     .Order.google_protobuf_Timestamp. A recursive message refers to itself.
//   - Read the descriptor as proto2. All other syntax is rewritten to proto2: fields with presence are optional,
//     without a synthetic oneof, and proto3's optional fields are among them; the packing of repeated fields is written
//     out; features of editions are replaced by their meaning. A message of proto3 types alone can also be read as
//     proto3, but then its optional fields lose their presence.
//   - Extensions of the nested messages are included if the file of the message, or an imported file, declares them.
//   - Options declared as extensions, such as validation rules, are left out, because such options have no meaning
//     without the files of their declarations.
//
// Proto2 has no equivalent for a field of edition 2023 or later with features.message_encoding = DELIMITED. The field
// is written as a group. Unless its name and place are also right for a group, strict linkers refuse the descriptor.
// Strict linkers also refuse an extension that is a group.
//
// JSON codecs have the same schema. The schema never changes, and callers must not write to its bytes.
package protobuf

//go:generate go run ./internal/protogen
