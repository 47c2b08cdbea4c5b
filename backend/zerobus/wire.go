package zerobus

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/headrace/headrace/backend"
)

// We write and read the messages by hand: then a batch costs one copy of its bytes and no allocation a record. Also, the
// process-wide registry of protobuf types stays free for a program with the vendor's schema: if two packages register
// the same names, the program panics at its start.

// recordType is the type of all records of a stream.
type recordType uint8

const (
	protoRecords recordType = 1
	jsonRecords  recordType = 2
)

// Tags with their wire type, as bytes on the wire.
const (
	tagCreate = 1<<3 | 2 // EphemeralStreamRequest
	tagRecord = 2<<3 | 2
	tagBatch  = 3<<3 | 2

	tagTable      = 1<<3 | 2 // CreateIngestStreamRequest
	tagDescriptor = 3<<3 | 2
	tagType       = 4 << 3

	tagOffset = 1 << 3   // of records and batches: varint
	tagItem   = 1<<3 | 2 // ProtoEncodedRecordBatch, JsonRecordBatch: repeated
)

// tagPayload is the tag of the payload. It depends on the type, and is the same for a lone record and for a batch.
func (t recordType) tagPayload() byte { return byte(1+t)<<3 | 2 }

// appendCreate appends the first request of a stream. Only PROTO streams have a descriptor.
func appendCreate(dst []byte, table string, t recordType, descriptor []byte) []byte {
	// The sizes count the tag and the length of each field. The last field is the type, with a tag and one byte.
	n := 1 + protowire.SizeBytes(len(table)) + 2
	if t == protoRecords {
		n += 1 + protowire.SizeBytes(len(descriptor))
	}
	dst = protowire.AppendVarint(append(dst, tagCreate), uint64(n))
	dst = protowire.AppendString(append(dst, tagTable), table)
	if t == protoRecords {
		dst = protowire.AppendBytes(append(dst, tagDescriptor), descriptor)
	}
	return append(dst, tagType, byte(t))
}

// An ingestion is a batch under a wire offset. A lone record is sent as a record, several records as a batch.
type ingestion struct {
	kind   recordType
	offset int64
	recs   []backend.Record
}

// sizes returns the length of the message, of the part behind the first tag and length, and of the list of records.
func (r *ingestion) sizes() (whole, body, list int) {
	body = 1 + protowire.SizeVarint(uint64(r.offset)) + 1
	if len(r.recs) == 1 {
		body += protowire.SizeBytes(len(r.recs[0].Value))
	} else {
		for i := range r.recs {
			list += 1 + protowire.SizeBytes(len(r.recs[i].Value))
		}
		body += protowire.SizeBytes(list)
	}
	return 1 + protowire.SizeBytes(body), body, list
}

// appendTo appends the message. body and list are from sizes.
func (r *ingestion) appendTo(dst []byte, body, list int) []byte {
	tag := byte(tagBatch)
	if len(r.recs) == 1 {
		tag = tagRecord
	}
	dst = protowire.AppendVarint(append(dst, tag), uint64(body))
	dst = protowire.AppendVarint(append(dst, tagOffset), uint64(r.offset)) // also 0, because the field must be present
	dst = append(dst, r.kind.tagPayload())
	if len(r.recs) == 1 {
		return protowire.AppendBytes(dst, r.recs[0].Value)
	}
	dst = protowire.AppendVarint(dst, uint64(list))
	for i := range r.recs {
		dst = protowire.AppendBytes(append(dst, tagItem), r.recs[i].Value)
	}
	return dst
}

// A response is a message of the server. kind says which of the next fields is set. No field is set for an unknown message.
type response struct {
	kind   responseKind
	stream *string       // of created: the server's id for the stream
	acked  *int64        // of ack
	pause  time.Duration // of closing: at least 0
}

type responseKind uint8

const (
	unknown responseKind = iota
	created
	ack
	closing
)

func (k responseKind) String() string {
	return [...]string{"an unknown message", "a create response", "an acknowledgement", "a close signal"}[k]
}

// parse reads a message. As in any protobuf reader, the last field of a oneof counts, and unknown fields are skipped.
func (r *response) parse(b []byte) error {
	*r = response{}
	return fields(b, func(num protowire.Number, _ uint64, sub []byte) error {
		if num < 1 || num > 3 || sub == nil {
			return nil
		}
		// A later field of the oneof replaces an earlier field. A pointer that stays nil says that the field inside
		// is absent: an ack without an offset is a breach of the protocol, and an ack of offset 0 is not.
		*r = response{kind: responseKind(num)}
		return fields(sub, func(num protowire.Number, v uint64, b []byte) error {
			switch {
			case num != 1:
			case r.kind == created && b != nil:
				// The memory of the message is used again for the next message, so the id must be a copy.
				id := string(b)
				r.stream = &id
			case r.kind == ack && b == nil:
				n := int64(v)
				r.acked = &n
			case r.kind == closing && b != nil:
				return r.parsePause(b)
			}
			return nil
		})
	})
}

// parsePause reads a google.protobuf.Duration. A Duration may be negative, or too long for a time.Duration.
func (r *response) parsePause(b []byte) error {
	var seconds, nanos int64
	err := fields(b, func(num protowire.Number, v uint64, b []byte) error {
		switch {
		case b != nil:
		case num == 1:
			seconds = int64(v)
		case num == 2:
			nanos = int64(int32(v))
		}
		return nil
	})
	// The server's numbers are not trusted. An overflow would make a long pause negative, and the pause would end at
	// once.
	const most = int64(1<<63-1) / int64(time.Second)
	r.pause = time.Duration(min(max(seconds, 0), most-2))*time.Second + time.Duration(min(max(nanos, 0), 999_999_999))
	if seconds < 0 {
		r.pause = 0
	}
	return err
}

var errWire = errors.New("malformed protobuf message")

// fields calls f for each field of a message. A length-delimited field has its bytes in sub, never nil. Any
// other field has its varint in v. Fields of the wire types that the protocol does not use are skipped.
func fields(b []byte, f func(num protowire.Number, v uint64, sub []byte) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("%w: %w", errWire, protowire.ParseError(n))
		}
		b = b[n:]
		var v uint64
		var sub []byte
		known := true
		switch typ {
		case protowire.VarintType:
			v, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			if sub, n = protowire.ConsumeBytes(b); sub == nil {
				sub = []byte{}
			}
		default:
			n, known = protowire.ConsumeFieldValue(num, typ, b), false
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", errWire, protowire.ParseError(n))
		}
		b = b[n:]
		if known {
			if err := f(num, v, sub); err != nil {
				return err
			}
		}
	}
	return nil
}

// encode makes the message in buf, behind messageRoom. The records of r are not read after encode has returned. The size comes
// from a pass over the lengths: protobuf puts the length of a message in front, and a message that was encoded without the length
// would have to be moved.
func (r *ingestion) encode(buf []byte) []byte {
	whole, body, list := r.sizes()
	buf = slices.Grow(buf[:0], messageRoom+whole)
	buf = appendMessageHead(buf[:messageRoom-messageHead], whole)
	return r.appendTo(buf, body, list)
}
