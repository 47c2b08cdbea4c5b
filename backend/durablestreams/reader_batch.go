package durablestreams

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/records"
)

const (
	// batchBytes is how much of a response goes into a batch, unless a message is larger. It is enough to make the cost of a
	// batch small beside the cost of its records, and little memory for each reader.
	batchBytes = 256 << 10

	// tailBytes is the same at the tail, for a response without a length: few records come at once there, and each batch has
	// a buffer of its own.
	tailBytes = 8 << 10
)

// nextBatch makes a batch of the next bytes of the response. The records lie in a new buffer. The buffer belongs to the caller
// afterwards, and the reader keeps only a copy of the bytes behind the last record.
//
// An error after good records is kept as pending, because the contract says: everything before an error is returned before
// the error.
func (r *reader) nextBatch() (b backend.Batch, err error) {
	// The error of fill is looked at below, behind the records: without a buffer it is the only result.
	buf, end, err := r.fill()
	if buf == nil {
		return b, err
	}
	recs := records.Slice(r.expect(len(buf)))
	r.counts = r.counts[:0]
	var wrong error
	switch r.as {
	case messages:
		recs, wrong = r.takeMessages(recs, buf)
	case frames:
		recs, wrong = r.takeFrames(recs, buf)
	case chunks:
		recs = r.takeChunk(recs, buf, end)
	}
	if len(recs) > 0 {
		r.lastBatch, r.lastBytes = len(recs), len(buf)
		// Records in a response without a new offset would come again with the next request, for ever.
		if r.start == r.response.next {
			return b, r.noProgress()
		}
	}
	// A wrong record counts more than the end of the response behind it.
	switch {
	case wrong != nil:
		r.pending = wrong
	case end:
		r.pending = r.finish()
	default:
		r.pending = err
	}
	r.setPlaces(recs)
	if r.pending != nil && len(recs) == 0 {
		return b, r.pending
	}
	// Only at the end of a response do the headers say something about the place behind the batch.
	whole := r.body == nil
	return backend.Batch{Records: recs, Next: r.at, CaughtUp: whole && r.tail, Closed: whole && r.ended, Free: records.Free(recs)}, nil
}

// fill reads into a new buffer, behind the rest of the last buffer. end means: the response has ended. An error together with a
// buffer is returned after the records in the buffer.
func (r *reader) fill() (buf []byte, end bool, err error) {
	limit := r.stream.config.messageSize
	if len(r.rest) > limit {
		return nil, false, fmt.Errorf("%w: a message of more than %d bytes, the limit MessageBytes", backend.ErrTooLarge, limit)
	}
	// If a message is longer than the buffer, the next buffer has twice the size: the bytes are moved few times.
	buf = make([]byte, len(r.rest), len(r.rest)+max(r.fillSize(), len(r.rest)))
	copy(buf, r.rest)
	// A short read would make a small batch: the transport returns what one packet has brought. At the tail the buffer
	// is small, and a response with little data ends soon.
	n, err := r.readFull(buf[len(buf):cap(buf)])
	buf = buf[:len(buf)+n]
	if r.length >= 0 { // the length is a forecast for the next buffer, not a check: the transport checks it
		r.length -= int64(n)
	}
	switch {
	case errors.Is(err, io.EOF):
		return buf, true, nil
	case err != nil:
		err = r.failure(err)
	}
	return buf, false, err
}

// fillSize is how many bytes to read at once. The size is one byte more than the response has: the read finds the end of the
// response too, and no further read is needed.
func (r *reader) fillSize() int {
	switch l := r.length; {
	case r.whole:
		return int(l) + 1
	case l >= 0:
		return int(min(l+1, batchBytes))
	case r.atTail:
		return tailBytes
	}
	return batchBytes
}

// readFull reads until p is full or an error comes. Unlike io.ReadFull it does not change the error: io.EOF is the end of the
// response, and io.ErrUnexpectedEOF a response that broke off.
func (r *reader) readFull(p []byte) (n int, err error) {
	r.watch()
	defer r.unwatch()
	for n < len(p) && err == nil {
		var k int
		k, err = r.body.Read(p[n:])
		n += k
		r.watch() // a slow response may take any time, so each piece begins the silence again
	}
	return n, err
}

// expect is how many records n bytes may hold, by the last batch with records. One part in 32, three percent, is added, because
// to grow a batch copies all its records, and the copy costs more than some empty room.
func (r *reader) expect(n int) int {
	if r.lastBytes == 0 {
		return 0
	}
	return min(int(int64(n)*int64(r.lastBatch)/int64(r.lastBytes))*33/32+1, n)
}

// takeMessages takes the whole messages of a JSON array from buf. The beginning of the next message stays in rest.
func (r *reader) takeMessages(recs []backend.Record, buf []byte) ([]backend.Record, error) {
	limit := r.stream.config.messageSize
	for {
		lo, hi, ok, err := r.split.next(buf)
		if err != nil { // an error on the way, not in the stream: servers check messages before they store
			return recs, fmt.Errorf("%w: %w", backend.ErrTransient, err)
		}
		if !ok {
			break
		}
		if hi-lo > limit {
			return recs, fmt.Errorf("%w: a message of %d bytes, the limit MessageBytes is %d", backend.ErrTooLarge, hi-lo, limit)
		}
		// The count moves for skipped messages too, because a place counts from the start of the response.
		r.count++
		if r.skip > 0 {
			r.skip--
			continue
		}
		// The place of a message is its count, and the skipped messages count too.
		if len(recs) == cap(recs) {
			recs = slices.Grow(recs, 1)
		}
		recs = recs[:len(recs)+1] // the new record is zero; to append a whole record would cost twice as much as to set Value
		recs[len(recs)-1].Value = buf[lo:hi:hi]
		if r.stream.config.envelope {
			recs[len(recs)-1] = unwrap(buf[lo:hi:hi])
		}
		r.counts = append(r.counts, r.count)
	}
	// rest shares the memory of the batch that was just returned. fill copies rest before the next read, so nothing is
	// written to memory of the caller.
	r.rest = buf[r.split.from:]
	r.split.dropped(r.split.from)
	return recs, nil
}

// passOver drops the bytes before the caller's place.
func (r *reader) passOver(buf []byte) []byte {
	// The bytes before the place may be the middle of a frame, because a place counts from the offset of the server.
	// passOver does not look at them.
	k := min(r.skip, int64(len(buf)))
	r.skip -= k
	r.count += k
	return buf[k:]
}

// takeChunk makes a single record of all bytes. The record does not end within a character of a text, unless the response does:
// a decoder would report half a character as an error.
func (r *reader) takeChunk(recs []backend.Record, buf []byte, end bool) []backend.Record {
	buf = r.passOver(buf)
	n := len(buf)
	if r.text && !end {
		n -= cutCharacter(buf)
	}
	r.rest = buf[n:]
	if n > 0 {
		r.count += int64(n)
		recs = append(recs, backend.Record{Value: buf[:n:n]})
		r.counts = append(r.counts, r.count)
	}
	return recs
}

// cutCharacter returns how many bytes at the end of b are the beginning of a UTF-8 character without its end.
func cutCharacter(b []byte) int {
	for k := 1; k < utf8.UTFMax && k <= len(b); k++ {
		last := b[len(b)-k:]
		switch {
		case !utf8.RuneStart(last[0]):
		case utf8.FullRune(last):
			return 0
		default:
			return k
		}
	}
	return 0
}

// takeFrames takes the whole frames from buf. The beginning of the next frame stays in rest.
func (r *reader) takeFrames(recs []backend.Record, buf []byte) ([]backend.Record, error) {
	buf = r.passOver(buf)
	for len(buf) > 0 {
		rec, n, err := nextFrame(buf, r.stream.config.messageSize)
		if err != nil {
			return recs, err
		}
		if n == 0 { // the end of the frame is in the next bytes
			break
		}
		buf = buf[n:]
		r.count += int64(n)
		recs = append(recs, rec)
		r.counts = append(r.counts, r.count)
	}
	r.rest = buf
	return recs, nil
}

// finish ends the response and prepares the next request. It refuses four kinds of end, which would lose records or never end:
// no progress, an array without its end, a place beyond the tail, and half a frame at the tail.
func (r *reader) finish() error {
	// The body is at its end, so the connection is free for the next request.
	_ = r.body.Close()
	moved := r.start != r.response.next
	switch {
	case !moved && (r.count > 0 || !r.tail && r.events == nil): // an SSE event without progress is a sign of life
		return r.noProgress()
	// A proxy has cut the answer and called it whole. The next reader asks for the records behind the last whole
	// message.
	case r.as == messages && r.split.phase != afterArray:
		return fmt.Errorf("%w: %w", backend.ErrTransient, protocolErrorf("a JSON array that ends too early"))
	// The place comes from another stream, or the server has lost data. To wait for the missing messages would skip new
	// records later.
	case r.tail && r.skip > 0:
		return fmt.Errorf("%w: the stream holds less behind %.40q than the place counts", backend.ErrOutOfRange, r.start)
	case r.tail && len(r.rest) > 0:
		return protocolErrorf("the stream ends within a frame")
	}
	// A response within the stream may end within a frame; the rest stays for the next response. A reader that was
	// at the tail goes on with waiting requests: a server answers such a request at once while there is more.
	r.body = nil
	r.ask, r.atTail, r.ended = r.response.next, r.atTail || r.tail, r.closed
	if r.ended && r.events != nil {
		r.events.close()
		r.events = nil
	}
	return nil
}

// noProgress is the error of a response without progress: the reader would ask for the response again and again.
func (r *reader) noProgress() error {
	return fmt.Errorf("%w: %w", backend.ErrTransient, protocolErrorf("no progress: the server returned the offset that it was asked for, %.40q", r.start))
}

// setPlaces gives the records their places and moves r.at behind the records.
func (r *reader) setPlaces(recs []backend.Record) {
	last := len(recs) - 1
	if last >= 0 {
		places := r.placesBehind(last)
		for i := range recs {
			recs[i].Offset = r.at
			r.at = places.next(r.counts[i])
			recs[i].Next = r.at
		}
	}
	if r.body == nil && len(r.rest) == 0 { // the end of the response is the same place, with less to pass over
		r.at = place(r.id, r.response.next, r.skip)
		if last >= 0 {
			recs[last].Next = r.at
		}
	}
}
