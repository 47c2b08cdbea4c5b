// Package protobuf is the codec for Protocol Buffers messages: binary or JSON, with validation if wanted, and with the
// message's schema for stores that ask for it.
//
//	c := protobuf.Codec[*orderspb.Order](protobuf.Validate())
//
// [Dynamic] is the codec of messages of which the program has a descriptor and no generated type, [Raw] that of messages
// that are encoded already. All of them have the same content type and schema for the same message.
//
// # Contract
//
// A record is one message, without a length before it. Encoding appends and in binary costs no allocation; decoding
// copies and makes a new message each time. A nil message is refused: it would be stored as an empty record and come
// back as an empty message. (An empty message is fine.) Missing required fields and, where the syntax asks for it, invalid
// UTF-8 are refused both ways.
//
// Fields that the reader's version of a message does not know are kept in binary, so that a message passes through an
// old program unharmed. In JSON they are ignored, because protojson has no place for them.
//
// # Content type
//
// Binary records are application/x-protobuf with the full name of the message as the parameter proto:
//
//	application/x-protobuf; proto=acme.orders.v1.Order
//
// The name is there because the bytes do not have it: a customer decodes as an order without an error. A store that
// compares content types then refuses the producer of another message; one that compares media types alone sees no
// difference. JSON records are plain application/json. [ContentType] sets another one.
//
// # Schema
//
// Format().Schema is the descriptor of the message as one serialized google.protobuf.DescriptorProto that refers to
// nothing outside itself, because that is what stores that check or unpack records take. All that the message can reach,
// from other messages, files and the well-known types, is nested in it:
//
//   - What is declared within another type that is needed stays in its place. Other messages are nested in the root
//     under their full name with underscores, as google_protobuf_Timestamp; so are enums, each in a message of its own
//     because enum values share the names of their surroundings. Types that nothing refers to are left out.
//   - References are written as for a file without a package that holds this message alone: .Order.google_protobuf_Timestamp.
//     A recursive message refers to itself.
//   - The descriptor is to be read as proto2, into which all other syntax is rewritten: fields with presence, proto3's
//     optional among them, are optional and have no synthetic oneof; the packing of repeated fields is written out;
//     features of editions become what they mean. A message that uses nothing but proto3 can be read as proto3, too;
//     optional fields lose their presence then.
//   - Extensions of the messages in it are included if the file of the message, or one it imports, declares them.
//   - Options that are extensions, such as validation rules, are left out. They mean nothing without their own files.
//
// One thing has no equivalent in proto2: a field of edition 2023 or later with features.message_encoding = DELIMITED is
// written as a group, and unless it is named and placed like one, strict linkers refuse the descriptor. So they do with
// an extension that is a group.
//
// The schema is there for JSON as well. It does not change, and must not be written to.
package protobuf

//go:generate go run ./internal/protogen
