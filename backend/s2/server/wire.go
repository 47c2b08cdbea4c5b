package server

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"sync"
)

// The messages are parsed by hand. An append of a thousand records then costs the server only one allocation: the
// memory that keeps the records. Generated types would make an allocation for each record. The field numbers come from
// package s2.v1.

var errWire = errors.New("invalid protobuf")

// A header is one header of a record. Its bytes belong to the request.
type header struct{ name, value []byte }

// A record is one AppendRecord. Its bytes belong to the request. Its headers are input.headers[h0:h1].
type record struct {
	body   []byte
	ts     uint64
	h0, h1 int
	hasTS  bool
}

// An input is one AppendInput, from protobuf, JSON or a frame. Inputs are used again: see free. takeInputs uses one
// input for a whole session.
type input struct {
	recs     []record
	headers  []header
	token    []byte
	match    uint64
	hasMatch bool
	hasToken bool
	tooMany  bool // the request had more than maxRecords records; the records behind were dropped
	metered  int
	key      keyHash // of the request, on an encrypted stream
}

var inputs = sync.Pool{New: func() any { return new(input) }}

// newInput returns an empty input, with the memory of an earlier input where there is one.
func newInput() *input {
	in := inputs.Get().(*input)
	*in = input{recs: in.recs[:0], headers: in.headers[:0]}
	return in
}

// free gives in back for the next request. A very large input is left to the garbage collector; otherwise the pool
// would hold its memory for ever.
func (in *input) free() {
	if cap(in.recs) > 2*maxRecords || cap(in.headers) > 8*maxRecords {
		return
	}
	// The records point into the body of a request. Without clear, the pool would keep the body in memory.
	clear(in.recs)
	clear(in.headers)
	inputs.Put(in)
}

// field cuts the next field off b. v is the value of a varint, and data is the value of a length-delimited field.
// Callers skip fields of fixed width, like all fields with an unknown number.
func field(b []byte) (num, typ int, v uint64, data, rest []byte, err error) {
	tag, n := binary.Uvarint(b)
	// Field numbers go from 1 to 2^29-1. Bytes with another number are no protobuf.
	if n <= 0 || tag>>3 == 0 || tag>>3 > 1<<29-1 {
		return 0, 0, 0, nil, nil, errWire
	}
	b = b[n:]
	num, typ = int(tag>>3), int(tag&7)
	switch typ {
	case 0:
		v, n = binary.Uvarint(b)
		if n <= 0 {
			return 0, 0, 0, nil, nil, errWire
		}
		return num, typ, v, nil, b[n:], nil
	case 2:
		l, n := binary.Uvarint(b)
		if n <= 0 || l > uint64(len(b)-n) {
			return 0, 0, 0, nil, nil, errWire
		}
		b = b[n:]
		// The capacity ends with the field. Otherwise an append to data could overwrite the next field.
		return num, typ, 0, b[:l:l], b[l:], nil
	case 1, 5:
		size := 8
		if typ == 5 {
			size = 4
		}
		if len(b) < size {
			return 0, 0, 0, nil, nil, errWire
		}
		return num, typ, 0, nil, b[size:], nil
	}
	return 0, 0, 0, nil, nil, errWire // groups, which do not exist in proto3
}

// parse reads an AppendInput. A field with a known number and the wrong wire type is skipped like an unknown field. The
// records point into b: b must not change until the stream has copied the records. Unknown fields are skipped, as
// proto3 demands, so clients of a newer version can talk to the server. If a field comes twice, the last value counts;
// records add up.
func (in *input) parse(b []byte) error {
	for len(b) > 0 {
		num, typ, v, data, rest, err := field(b)
		if err != nil {
			return err
		}
		b = rest
		switch {
		case num == 1 && typ == 2:
			if err := in.parseRecord(data); err != nil {
				return err
			}
		case num == 2 && typ == 0:
			// Presence is kept apart from the value: a condition of 0, or an empty token, is a condition, and no
			// condition is none.
			in.match, in.hasMatch = v, true
		case num == 3 && typ == 2:
			in.token, in.hasToken = data, true
		}
	}
	return nil
}

func (in *input) parseRecord(b []byte) error {
	// The headers of all records share one slice. A record with headers costs no allocation of its own.
	r := record{h0: len(in.headers)}
	for len(b) > 0 {
		num, typ, v, data, rest, err := field(b)
		if err != nil {
			return err
		}
		b = rest
		switch {
		case num == 1 && typ == 0:
			r.ts, r.hasTS = v, true
		case num == 2 && typ == 2:
			h, err := parseHeader(data)
			if err != nil {
				return err
			}
			in.headers = append(in.headers, h)
		case num == 3 && typ == 2:
			r.body = data
		}
	}
	in.add(r)
	return nil
}

// add adds a record, and counts its metered size for the limit of the batch: see validate. The headers of the record
// are the end of in.headers, from r.h0 on.
func (in *input) add(r record) {
	r.h1 = len(in.headers)
	if len(in.recs) == maxRecords {
		// The input is refused in the end. Until then it must not grow: a body of 8 MiB holds four million empty
		// records.
		in.tooMany = true
		in.headers = in.headers[:r.h0]
		return
	}
	in.metered += metered(len(r.body), in.headers[r.h0:r.h1])
	in.recs = append(in.recs, r)
}

func parseHeader(b []byte) (h header, err error) {
	for len(b) > 0 {
		num, typ, _, data, rest, err := field(b)
		if err != nil {
			return h, err
		}
		b = rest
		switch {
		case num == 1 && typ == 2:
			h.name = data
		case num == 2 && typ == 2:
			h.value = data
		}
	}
	return h, nil
}

// metered returns the metered size of a record. All size limits of S2 are in metered bytes. The encoding does not
// change the metered size, and a client can count before encoding. S2's formula: 8 bytes for each record, 2 for each
// header, and the bytes of names, values and body.
func metered(body int, headers []header) int {
	n := 8 + 2*len(headers) + body
	for i := range headers {
		n += len(headers[i].name) + len(headers[i].value)
	}
	return n
}

// uvarintLen is the size of v as a varint. v|1 makes 0 as long as 1: both take one byte.
func uvarintLen(v uint64) int { return (bits.Len64(v|1) + 6) / 7 }

func bytesLen(n int) int { return 1 + uvarintLen(uint64(n)) + n }

// appendBytes appends a length-delimited field with a tag of one byte.
func appendBytes(dst []byte, tag byte, b []byte) []byte {
	dst = append(dst, tag)
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

func headerLen(h *header) (n int) {
	if len(h.name) > 0 {
		n += bytesLen(len(h.name))
	}
	if len(h.value) > 0 {
		n += bytesLen(len(h.value))
	}
	return n
}

// appendSequenced appends a record as the field `records` of a ReadBatch: readers receive exactly these bytes. Fields
// with the value zero are left out, as in every proto3 message. A length stands in front of its content, and the sizes
// must be added up first. Tags are written as bytes: field<<3 | wire type, for example 0x0a for field 1 with bytes.
func appendSequenced(dst []byte, r *record, headers []header, seq, ts uint64) []byte {
	at := position{seq, ts}
	n := at.size()
	for i := range headers {
		n += bytesLen(headerLen(&headers[i]))
	}
	if len(r.body) > 0 {
		n += bytesLen(len(r.body))
	}
	dst = append(dst, 0x0a)
	dst = binary.AppendUvarint(dst, uint64(n))
	dst = at.appendFields(dst)
	for i := range headers {
		h := &headers[i]
		dst = append(dst, 0x1a)
		dst = binary.AppendUvarint(dst, uint64(headerLen(h)))
		if len(h.name) > 0 {
			dst = appendBytes(dst, 0x0a, h.name)
		}
		if len(h.value) > 0 {
			dst = appendBytes(dst, 0x12, h.value)
		}
	}
	if len(r.body) > 0 {
		dst = appendBytes(dst, 0x22, r.body)
	}
	return dst
}

// A position is a StreamPosition.
type position struct {
	SeqNum    uint64 `json:"seq_num"`
	Timestamp uint64 `json:"timestamp"`
}

// appendPosition appends p as a sub-message, even if p is zero. A reader takes an absent tail for a sign that it has
// not reached the tail. A position has at most 22 bytes, so its length fits into one byte.
func appendPosition(dst []byte, tag byte, p position) []byte {
	return p.appendFields(append(dst, tag, byte(p.size())))
}

// size is the size of what appendFields appends.
func (p position) size() (n int) {
	if p.SeqNum != 0 {
		n += 1 + uvarintLen(p.SeqNum)
	}
	if p.Timestamp != 0 {
		n += 1 + uvarintLen(p.Timestamp)
	}
	return n
}

// appendFields appends the fields 1 and 2 of a StreamPosition. A SequencedRecord begins with the same two fields.
func (p position) appendFields(dst []byte) []byte {
	if p.SeqNum != 0 {
		dst = binary.AppendUvarint(append(dst, 0x08), p.SeqNum)
	}
	if p.Timestamp != 0 {
		dst = binary.AppendUvarint(append(dst, 0x10), p.Timestamp)
	}
	return dst
}

// An ack is an AppendAck.
//
// Start is the place of the first record, End is behind the last one, with the timestamp of the last, and Tail is
// behind the last record of the stream at the moment of the ack.
type ack struct {
	Start position `json:"start"`
	End   position `json:"end"`
	Tail  position `json:"tail"`
}

func (a *ack) appendProto(dst []byte) []byte {
	dst = appendPosition(dst, 0x0a, a.Start)
	dst = appendPosition(dst, 0x12, a.End)
	return appendPosition(dst, 0x1a, a.Tail)
}

// appendTail appends the field `tail` of a ReadBatch.
func appendTail(dst []byte, p position) []byte { return appendPosition(dst, 0x12, p) }
