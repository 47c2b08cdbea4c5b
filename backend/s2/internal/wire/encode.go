// Package wire encodes and decodes S2's protobuf messages by hand, directly from and to [backend.Record]. It needs no
// message structs, and allocates no memory for each record. Tests compare the package with the generated types.
package wire

import (
	"encoding/binary"
	"time"

	"github.com/headrace/headrace/backend"
)

// A Position is a place in a stream, with the timestamp at this place in milliseconds.
type Position struct{ SeqNum, Timestamp uint64 }

// A Condition is what the stream must fulfil for an append to be accepted. A nil pointer means no condition; 0 and ""
// are conditions. Both are written even when they are zero, because the protocol tells absent from zero.
type Condition struct {
	MatchSeqNum  *uint64
	FencingToken *string
}

// Size is the encoded size of the condition.
func (c Condition) Size() int {
	n := 0
	if c.MatchSeqNum != nil {
		n += 1 + uvarintLen(*c.MatchSeqNum)
	}
	if c.FencingToken != nil {
		n += sizeBytes(len(*c.FencingToken))
	}
	return n
}

// HasTime reports whether r has a timestamp of its own. The limits of the backend ensure that such a timestamp is not
// negative. A record without a time gets the time of its arrival from the server.
func HasTime(r *backend.Record) bool { return !r.Time.IsZero() }

// SizeRecord is the size that one record adds to an encoded AppendInput. The limit of a frame is on encoded bytes, and
// a batch of many small headers can meet this limit before the metered one.
func SizeRecord(r *backend.Record) int { return sizeBytes(sizeRecord(r)) }

// sizeRecord is the size without the tag and the length. It must agree with AppendInput byte for byte: the length is
// written in front of the bytes, and a wrong length makes the whole frame unreadable.
func sizeRecord(r *backend.Record) int {
	n := 0
	if HasTime(r) {
		n += 1 + uvarintLen(uint64(r.Time.UnixMilli()))
	}
	for i := range r.Headers {
		n += sizeBytes(sizeHeader(&r.Headers[i]))
	}
	if len(r.Value) > 0 {
		n += sizeBytes(len(r.Value))
	}
	return n
}

func sizeHeader(h *backend.Header) int {
	n := 0
	if h.Name != "" {
		n += sizeBytes(len(h.Name))
	}
	if len(h.Value) > 0 {
		n += sizeBytes(len(h.Value))
	}
	return n
}

// AppendInput appends the encoding of an AppendInput to dst. Empty values and names are left out, as proto3 does.
func AppendInput(dst []byte, recs []backend.Record, c Condition) []byte {
	for i := range recs {
		r := &recs[i]
		dst = append(dst, 1<<3|2)
		dst = binary.AppendUvarint(dst, uint64(sizeRecord(r)))
		if HasTime(r) {
			dst = append(dst, 1<<3)
			dst = binary.AppendUvarint(dst, uint64(r.Time.UnixMilli()))
		}
		for j := range r.Headers {
			h := &r.Headers[j]
			dst = append(dst, 2<<3|2)
			dst = binary.AppendUvarint(dst, uint64(sizeHeader(h)))
			if h.Name != "" {
				dst = append(dst, 1<<3|2)
				dst = binary.AppendUvarint(dst, uint64(len(h.Name)))
				dst = append(dst, h.Name...)
			}
			if len(h.Value) > 0 {
				dst = appendBytes(dst, 2, h.Value)
			}
		}
		if len(r.Value) > 0 {
			dst = appendBytes(dst, 3, r.Value)
		}
	}
	if c.MatchSeqNum != nil {
		dst = append(dst, 2<<3)
		dst = binary.AppendUvarint(dst, *c.MatchSeqNum)
	}
	if c.FencingToken != nil {
		dst = append(dst, 3<<3|2)
		dst = binary.AppendUvarint(dst, uint64(len(*c.FencingToken)))
		dst = append(dst, *c.FencingToken...)
	}
	return dst
}

func appendBytes(dst []byte, field byte, b []byte) []byte {
	dst = append(dst, field<<3|2)
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// sizeBytes is the size of a length-delimited field with a one-byte tag.
func sizeBytes(n int) int { return 1 + uvarintLen(uint64(n)) + n }

func uvarintLen(v uint64) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

// Time returns a record's timestamp as a time. A timestamp beyond the range of int64 milliseconds becomes the latest
// time. A server with uncapped timestamps may hold any number of 64 bits.
func Time(ms uint64) time.Time { return time.UnixMilli(int64(min(ms, 1<<63-1))) }
