package server

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// A frame is a gRPC message before decoding. We decode requests by hand. Generated types would allocate memory for each
// record, and then a benchmark of a client would mostly measure this server. Decoding by hand also makes client and
// server two independent readers of the same bytes. The memory of a frame is used again for the next message.
type frame struct{ msg []byte }

type frameCodec struct{}

// Name returns "proto", so the content type stays application/grpc.
func (frameCodec) Name() string { return "proto" }

// Marshal passes on the encoded message. SliceBuffer is not counted and never given back to a pool: the bytes belong to
// the garbage collector, and gRPC may keep them until they are sent.
func (frameCodec) Marshal(v any) (mem.BufferSlice, error) {
	b, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("zerobus server: cannot send a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(b)}, nil
}

// Unmarshal copies the message, because gRPC uses its own memory again for the next message, and stored rows alias the
// frame.
func (frameCodec) Unmarshal(data mem.BufferSlice, v any) error {
	f, ok := v.(*frame)
	if !ok {
		return fmt.Errorf("zerobus server: cannot receive a %T", v)
	}
	// run takes the memory away behind each request whose rows are kept. With DiscardRows the same memory serves the
	// whole stream.
	f.msg = slices.Grow(f.msg[:0], data.Len())[:data.Len()]
	data.CopyTo(f.msg)
	return nil
}

type requestKind uint8

const (
	noRequest requestKind = iota
	createRequest
	recordRequest
	batchRequest
)

// recordType is the RecordType of the protocol.
//
// A client may send any number here. A number without a meaning is refused when the stream is created, with the number
// in the text.
type recordType int32

const (
	unspecified recordType = 0
	protoRecord recordType = 1
	jsonRecord  recordType = 2
)

func (r recordType) String() string {
	switch r {
	case protoRecord:
		return "PROTO"
	case jsonRecord:
		return "JSON"
	}
	return fmt.Sprintf("RecordType(%d)", int32(r))
}

// A request is one decoded message of a client. A stream uses its request again for the next message, and the records
// alias the message. So a request costs no allocation, and whoever keeps a record keeps the whole message in memory.
type request struct {
	kind requestKind

	table         string // of a create
	descriptor    []byte
	hasDescriptor bool
	recordType    recordType // of a create or of the records
	hasType       bool

	offset    int64
	hasOffset bool
	records   [][]byte
	bytes     int // of all records
}

var errNoRecord = errors.New("neither a proto nor a JSON record")

// parse reads an EphemeralStreamRequest. Like every proto2 reader, it skips unknown fields, and if several fields of a
// oneof are present, the last one counts. The numbers are those of the published schema, and must not change: clients
// are built from the same schema.
func (r *request) parse(b []byte) error {
	*r = request{records: r.records[:0]}
	return fields(b, func(num protowire.Number, _ uint64, v []byte, isBytes bool) error {
		if !isBytes {
			return nil
		}
		switch num {
		case 1:
			// A later field of the oneof replaces an earlier field as a whole. Nothing of the earlier field may
			// remain.
			*r = request{records: r.records[:0], kind: createRequest}
			return r.parseCreate(v)
		case 2, 3:
			*r = request{records: r.records[:0], kind: recordRequest}
			if num == 3 {
				r.kind = batchRequest
			}
			return r.parseRecords(v)
		}
		return nil
	})
}

// parseCreate notes which fields are present. The service tells a missing record type from UNSPECIFIED and an empty
// descriptor from a missing one, so zero values are not enough.
func (r *request) parseCreate(b []byte) error {
	return fields(b, func(num protowire.Number, n uint64, v []byte, isBytes bool) error {
		switch {
		case num == 1 && isBytes:
			r.table = string(v)
		case num == 3 && isBytes:
			r.descriptor, r.hasDescriptor = v, true
		case num == 4 && !isBytes:
			r.recordType, r.hasType = recordType(int32(n)), true
		}
		return nil
	})
}

// parseRecords reads an IngestRecordRequest or an IngestRecordBatchRequest. The two differ in the fields 2 and 3, which
// hold one record or a batch.
func (r *request) parseRecords(b []byte) error {
	err := fields(b, func(num protowire.Number, n uint64, v []byte, isBytes bool) error {
		switch {
		case num == 1 && !isBytes:
			r.offset, r.hasOffset = int64(n), true
		case (num == 2 || num == 3) && isBytes:
			// Field 2 holds PROTO, which is 1. Field 3 holds JSON, which is 2.
			r.recordType = recordType(num - 1)
			// If both fields are present, the last field counts.
			r.records, r.bytes = r.records[:0], 0
			if r.kind == recordRequest {
				r.records, r.bytes = append(r.records, v), len(v)
				return nil
			}
			return r.parseBatch(v)
		}
		return nil
	})
	// A request without a record would use up an offset and store nothing.
	if err == nil && r.recordType == unspecified {
		return errNoRecord
	}
	return err
}

// parseBatch reads the records of a batch. Nearly all bytes of a batch are in fields with number 1 and wire type 2, so
// the loop handles these fields first and without a callback.
func (r *request) parseBatch(b []byte) error {
	for len(b) > 0 {
		// A proto2 reader skips fields that it does not know, so a batch with other fields is not malformed.
		if b[0] != 1<<3|byte(protowire.BytesType) {
			_, _, n := protowire.ConsumeField(b)
			if n < 0 {
				return protowire.ParseError(n)
			}
			b = b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b[1:])
		if n < 0 {
			return protowire.ParseError(n)
		}
		r.records, r.bytes = append(r.records, v), r.bytes+len(v)
		b = b[1+n:]
	}
	return nil
}

// fields calls f for each varint and each length-delimited field of a message. Groups and fields of fixed width are
// passed over like unknown fields, because only a newer schema can have them.
func fields(b []byte, f func(num protowire.Number, n uint64, v []byte, isBytes bool) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return protowire.ParseError(n)
		}
		b = b[n:]
		var err error
		switch typ {
		case protowire.VarintType:
			var x uint64
			if x, n = protowire.ConsumeVarint(b); n >= 0 {
				err = f(num, x, nil, false)
			}
		case protowire.BytesType:
			var v []byte
			if v, n = protowire.ConsumeBytes(b); n >= 0 {
				err = f(num, 0, v, true)
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// created encodes a create_stream_response. Without an id the response is malformed; NoStreamID needs this. Clients
// take a missing id for a failure of the server, and try again.
func created(id string) []byte {
	var in []byte
	if id != "" {
		in = protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), id)
	}
	return response(1, in)
}

// acked encodes an ingest_record_response.
func acked(upTo int64) []byte {
	// The field is encoded even for the offset 0. A client takes an ack without the field for an error of the
	// protocol.
	in := protowire.AppendVarint(protowire.AppendTag(make([]byte, 0, 11), 1, protowire.VarintType), uint64(upTo))
	return response(2, in)
}

// signal encodes a close_stream_signal. For d below 0 the signal has no duration. The duration is a
// google.protobuf.Duration: seconds and nanoseconds, each left out if it is 0. A signal without a duration is legal,
// and means: go at once.
func signal(d time.Duration) []byte {
	if d < 0 {
		return response(3, nil)
	}
	var in []byte
	if s := d / time.Second; s > 0 {
		in = protowire.AppendVarint(protowire.AppendTag(in, 1, protowire.VarintType), uint64(s))
	}
	if ns := d % time.Second; ns > 0 {
		in = protowire.AppendVarint(protowire.AppendTag(in, 2, protowire.VarintType), uint64(ns))
	}
	return response(3, protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), in))
}

// response encodes an EphemeralStreamResponse with one field.
func response(num protowire.Number, in []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(make([]byte, 0, 2+len(in)), num, protowire.BytesType), in)
}
