package durablestreams

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// frameHead is how many bytes stand before the headers of a frame: the kind, and the time in seconds and nanoseconds.
const frameHead = 1 + 8 + 4

// The first byte of a frame.
const (
	framePlain   = 0 // the value follows the time
	frameHeaders = 1 // headers come between the time and the value
)

// frameBody is how long a frame is without the length at its beginning.
func frameBody(r *backend.Record) int {
	n := frameHead + len(r.Value)
	if len(r.Headers) > 0 {
		n += uvarintLen(len(r.Headers))
		for _, h := range r.Headers {
			n += uvarintLen(len(h.Name)) + len(h.Name) + uvarintLen(len(h.Value)) + len(h.Value)
		}
	}
	return n
}

// sizeFrame is how long a frame is.
func sizeFrame(r *backend.Record) int {
	n := frameBody(r)
	return uvarintLen(n) + n
}

func meterFrame(value []byte, headers backend.Headers, at time.Time) (int, error) {
	return sizeFrame(&backend.Record{Value: value, Headers: headers, Time: at}), nil
}

// uvarintLen is how many bytes a uvarint of n takes.
func uvarintLen(n int) int {
	l := 1
	for ; n >= 0x80; n >>= 7 {
		l++
	}
	return l
}

// bodyFrames appends the frames of a batch. Records without a time get the time of the sending. All records of a batch
// get the same time, and a resend of the batch has the same body.
func bodyFrames(dst []byte, recs []backend.Record) []byte {
	now := time.Now()
	for i := range recs {
		r := &recs[i]
		n := frameBody(r)
		dst = binary.AppendUvarint(grow(dst, binary.MaxVarintLen64+n, i, len(recs)), uint64(n))
		kind, at := byte(framePlain), r.Time
		if len(r.Headers) > 0 {
			kind = frameHeaders
		}
		if at.IsZero() {
			at = now
		}
		dst = append(dst, kind)
		dst = binary.BigEndian.AppendUint64(dst, uint64(at.Unix()))
		dst = binary.BigEndian.AppendUint32(dst, uint32(at.Nanosecond()))
		if kind == frameHeaders {
			dst = binary.AppendUvarint(dst, uint64(len(r.Headers)))
			for _, h := range r.Headers {
				dst = binary.AppendUvarint(dst, uint64(len(h.Name)))
				dst = append(dst, h.Name...)
				dst = binary.AppendUvarint(dst, uint64(len(h.Value)))
				dst = append(dst, h.Value...)
			}
		}
		dst = append(dst, r.Value...)
	}
	return dst
}

// nextFrame returns the frame at the start of b and its whole length, or a length of 0 when b has to grow first.
// A frame that is larger than limit is refused before its bytes are there, because a reader would have to hold the bytes.
func nextFrame(b []byte, limit int) (r backend.Record, n int, err error) {
	// A length has a single spelling here. Two spellings would be two sizes of one frame, and places count bytes.
	size, w := binary.Uvarint(b)
	switch {
	case w < 0, w > 0 && (size < frameHead || w != uvarintLen(int(min(size, maxNumber)))):
		return r, 0, protocolErrorf("the length of a frame")
	case w == 0:
		return r, 0, nil
	case size > uint64(limit):
		return r, 0, fmt.Errorf("%w: a frame of %d bytes, the limit MessageBytes is %d", backend.ErrTooLarge, size, limit)
	case uint64(len(b)-w) < size:
		return r, 0, nil
	}
	n = w + int(size)
	// The capacity ends with the frame, so an append of the caller cannot overwrite the next record.
	body := b[w:n:n]
	kind := body[0]
	seconds, nanos := int64(binary.BigEndian.Uint64(body[1:])), binary.BigEndian.Uint32(body[9:])
	if kind > frameHeaders || nanos >= 1e9 {
		return r, 0, protocolErrorf("a frame of kind %d", kind)
	}
	// UTC, because the frame holds no zone: readers in different places must see equal records.
	r.Time = time.Unix(seconds, int64(nanos)).UTC()
	body = body[frameHead:]
	if kind == frameHeaders {
		if r.Headers, body, err = headersOf(body); err != nil {
			return r, 0, err
		}
	}
	r.Value = body
	return r, n, nil
}

// headersOf takes the headers from the beginning of b, and returns the bytes behind the headers.
func headersOf(b []byte) (backend.Headers, []byte, error) {
	// The count of 0 is refused, because a frame without headers has the other kind. So each record has a single form.
	count, w := binary.Uvarint(b)
	if w <= 0 || count == 0 || count > uint64(len(b)-w)/2 { // a header takes two bytes at least
		return nil, nil, protocolErrorf("the headers of a frame")
	}
	b = b[w:]
	all := make(backend.Headers, 0, min(count, 64)) // the count is not believed further: a header takes 2 bytes here and 20 times as much in memory
	for range count {
		var field [2][]byte
		for j := range field {
			n, w := binary.Uvarint(b)
			if w <= 0 || n > uint64(len(b)-w) {
				return nil, nil, protocolErrorf("a header of a frame")
			}
			field[j], b = b[w:w+int(n):w+int(n)], b[w+int(n):]
		}
		all = append(all, backend.Header{Name: string(field[0]), Value: field[1]})
	}
	return all, b, nil
}
