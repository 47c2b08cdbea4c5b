package durablestreams

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
)

// take makes a batch of what comes next in the response. Records lie in a buffer that is the caller's from then on.
func (r *reader) take() (b backend.Batch, err error) {
	size := readBytes
	switch l := r.length; {
	case r.whole:
		size = int(l) + 1 // and one, to see the end
	case l >= 0:
		size = min(size, int(min(l, readBytes))+1)
	case r.live:
		size = 8 << 10
	}
	if len(r.rest) > r.stream.config.messageSize {
		return b, fmt.Errorf("%w: a message of more than %d bytes, the limit MessageBytes", backend.ErrTooLarge, r.stream.config.messageSize)
	}
	buf := make([]byte, len(r.rest), len(r.rest)+max(size, len(r.rest))) // a long message is moved a few times, not many
	copy(buf, r.rest)
	n, err := fill(r.body, buf[len(buf):cap(buf)])
	buf = buf[:len(buf)+n]
	if r.length >= 0 {
		r.length -= int64(n)
	}
	end := errors.Is(err, io.EOF)
	if err != nil && !end {
		err = r.failure(err)
	}
	recs, bad := make([]backend.Record, 0, r.expect(len(buf))), error(nil)
	r.marks = r.marks[:0]
	switch r.as {
	case messages:
		recs, bad = r.takeMessages(recs, buf)
	case frames:
		recs, bad = r.takeFrames(recs, buf)
	case chunks:
		recs = r.takeChunk(recs, buf, end)
	}
	if len(recs) > 0 {
		r.records, r.bytes = len(recs), len(buf)
	}
	if len(recs) > 0 && r.start == r.response.next {
		return b, r.nowhere()
	}
	switch {
	case bad != nil:
		r.late = bad
	case end:
		r.late = r.finish()
	default:
		r.late = err
	}
	r.name(recs)
	if r.late != nil && len(recs) == 0 {
		return b, r.late
	}
	whole := r.body == nil
	return backend.Batch{Records: recs, Next: r.at, CaughtUp: whole && r.tail, Closed: whole && r.ended}, nil
}

// expect is how many records n bytes may hold, by the last batch, with a few to spare: to grow costs more than those.
func (r *reader) expect(n int) int {
	if r.bytes == 0 {
		return 0
	}
	return min(int(int64(n)*int64(r.records)/int64(r.bytes))*33/32+1, n)
}

// fill reads until p is full or there is an error, which it returns as it is: a response that broke off is not one that ended.
func fill(body io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var k int
		k, err = body.Read(p[n:])
		n += k
	}
	return n, err
}

func (r *reader) takeMessages(recs []backend.Record, buf []byte) ([]backend.Record, error) {
	for {
		lo, hi, ok, err := r.split.next(buf)
		if err != nil { // of the response, not of what is stored: servers check that
			return recs, fmt.Errorf("%w: %w", backend.ErrTransient, err)
		}
		if !ok {
			break
		}
		if hi-lo > r.stream.config.messageSize {
			return recs, fmt.Errorf("%w: a message of %d bytes, the limit MessageBytes is %d", backend.ErrTooLarge, hi-lo, r.stream.config.messageSize)
		}
		r.n++
		if r.skip > 0 {
			r.skip--
			continue
		}
		if len(recs) == cap(recs) {
			recs = slices.Grow(recs, 1)
		}
		recs = recs[:len(recs)+1] // zero, and one pointer is written into it: to append a whole one costs twice as much
		recs[len(recs)-1].Value = buf[lo:hi:hi]
		if r.stream.config.envelope {
			recs[len(recs)-1] = unwrap(buf[lo:hi:hi])
		}
		r.marks = append(r.marks, r.n)
	}
	r.rest = buf[r.split.from:]
	r.split.dropped(r.split.from)
	return recs, nil
}

// passOver drops the bytes before the place asked for.
func (r *reader) passOver(buf []byte) []byte {
	k := min(r.skip, int64(len(buf)))
	r.skip -= k
	r.n += k
	return buf[k:]
}

// takeChunk makes one record of what there is. It does not cut a character of a text, for the sake of decoders, unless the
// response ends within it.
func (r *reader) takeChunk(recs []backend.Record, buf []byte, end bool) []backend.Record {
	buf = r.passOver(buf)
	n := len(buf)
	if r.text && !end {
		for k := 1; k < utf8.UTFMax && k <= len(buf); k++ {
			if b := buf[len(buf)-k:]; utf8.RuneStart(b[0]) {
				if !utf8.FullRune(b) {
					n -= k
				}
				break
			}
		}
	}
	r.rest = buf[n:]
	if n > 0 {
		r.n += int64(n)
		recs = append(recs, backend.Record{Value: buf[:n:n]})
		r.marks = append(r.marks, r.n)
	}
	return recs
}

func (r *reader) takeFrames(recs []backend.Record, buf []byte) ([]backend.Record, error) {
	buf = r.passOver(buf)
	for len(buf) > 0 {
		rec, n, err := nextFrame(buf, r.stream.config.messageSize)
		if err != nil {
			return recs, err
		}
		if n == 0 {
			break
		}
		buf = buf[n:]
		r.n += int64(n)
		recs = append(recs, rec)
		r.marks = append(r.marks, r.n)
	}
	r.rest = buf
	return recs, nil
}

// finish is the end of the response.
func (r *reader) finish() error {
	_ = r.body.Close()
	switch {
	case r.start == r.response.next && (r.n > 0 || !r.tail && r.events == nil): // an event says in this way that it lives
		return r.nowhere()
	case r.as == messages && r.split.phase != afterArray:
		return fmt.Errorf("%w: %w", backend.ErrTransient, malformed("a JSON array that ends too early"))
	case r.tail && r.skip > 0:
		return fmt.Errorf("%w: there is less behind %.40q than the place asked for", backend.ErrOutOfRange, r.start)
	case r.tail && len(r.rest) > 0:
		return malformed("the stream ends within a frame")
	}
	r.body = nil
	r.ask, r.live, r.ended = r.response.next, r.live || r.tail, r.closed
	if r.ended && r.events != nil {
		r.events.close()
		r.events = nil
	}
	return nil
}

// nowhere is said of a response that would be asked for again and again.
func (r *reader) nowhere() error {
	return fmt.Errorf("%w: %w", backend.ErrTransient, malformed("an answer at %.40q that leads no further", r.start))
}

// name gives the records their places, cut from one string, and moves r.at behind them.
func (r *reader) name(recs []backend.Record) {
	ended := r.body == nil
	last := len(recs) - 1
	if last >= 0 {
		var text strings.Builder // its string is not a copy, and stays where it is as long as there is room
		start := r.start
		if r.id != "" {
			start = r.id + "/" + start
		}
		text.Grow(len(recs) * (len(start) + 1 + decimals(r.marks[last])))
		line := append(append(make([]byte, 0, 2*(maxOffset+1)+20), start...), '/')
		head := len(line)
		for i, n := range r.marks {
			if i > 0 && n == r.marks[i-1]+1 && line[len(line)-1] < '9' {
				line[len(line)-1]++ // messages are counted one by one
			} else {
				line = strconv.AppendInt(line[:head], n, 10)
			}
			from := text.Len()
			text.Write(line)
			recs[i].Offset = r.at
			r.at = backend.Offset(text.String()[from:])
			recs[i].Next = r.at
		}
	}
	if ended && len(r.rest) == 0 { // a shorter way to the same place
		r.at = place(r.id, r.response.next, r.skip)
		if last >= 0 {
			recs[last].Next = r.at
		}
	}
}

func decimals(n int64) int {
	d := 1
	for ; n >= 10; n /= 10 {
		d++
	}
	return d
}
