package s2s

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
)

// A Reader waits for a frame with a buffer of aheadFirst bytes. For a payload that does not fit, the Reader borrows a buffer of
// aheadMost bytes until everything in the buffer is returned. A payload larger than aheadMost gets memory of its own.
// With a large buffer for each Reader, thousands of sessions at the ends of their streams would hold as many large buffers.
const (
	aheadFirst = 512
	aheadMost  = 256 << 10
)

// Buffers that no session uses: to read ahead, and for payloads that are lent or decompressed.
var (
	large   = sync.Pool{New: func() any { return new([aheadMost]byte) }}
	largest = sync.Pool{New: func() any { return new([MaxPayload]byte) }}
)

// A Reader cuts frames from a stream.
type Reader struct {
	src      io.Reader
	buf      []byte // buf[off:end] was read and not returned
	off, end int
	small    []byte            // buf while the Reader waits for a frame
	borrowed *[aheadMost]byte  // buf, if not small
	lent     *[MaxPayload]byte // holds the lent payload, if the payload is larger than aheadMost
}

// NewReader makes a Reader. The Reader reads ahead, therefore nobody else may read from src afterwards.
func NewReader(src io.Reader) *Reader {
	small := make([]byte, aheadFirst)
	return &Reader{src: src, buf: small, small: small}
}

// Next returns the flags and the payload of the next frame. The payload is new memory and belongs to the caller. Only a
// compressed payload is valid just until the following call, because the caller needs only the result of Open. io.EOF
// means the stream has ended between two frames. If the stream ends inside a frame, the error is [io.ErrUnexpectedEOF],
// because a part of the frame is missing.
func (r *Reader) Next() (Flags, []byte, error) { return r.next(false) }

// Borrow is Next with a lent payload, valid until the following call.
func (r *Reader) Borrow() (Flags, []byte, error) { return r.next(true) }

func (r *Reader) next(lent bool) (Flags, []byte, error) {
	r.giveBack()
	if err := r.fill(HeaderSize); err != nil {
		if r.end > 0 && (errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)) {
			err = fmt.Errorf("in a frame's header: %w", io.ErrUnexpectedEOF)
		}
		return 0, nil, err
	}
	head := r.buf[r.off:]
	length := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	flags := Flags(head[3])
	switch {
	case length == 0:
		return 0, nil, &FormatError{"length 0"}
	case length > MaxLength:
		return 0, nil, &FormatError{fmt.Sprintf("length %d, at most %d is allowed", length, MaxLength)}
	case flags.Codec() > Gzip:
		return 0, nil, &FormatError{"unknown compression " + flags.Codec().String()}
	}
	r.off += HeaderSize
	payload, err := r.payload(length-1, lent || flags.Codec() != None)
	if err != nil {
		return 0, nil, err
	}
	return flags, payload, nil
}

// payload reads the next n bytes.
func (r *Reader) payload(n int, lent bool) (p []byte, err error) {
	ahead := r.end - r.off
	if n <= aheadMost {
		// We read everything that has arrived into the buffer, and copy from there. After each read, HTTP/2 tells the
		// peer how much room there is again, and each such message costs both sides system calls. Reading several
		// frames at once is worth the copy. The copy is cheap, because otherwise Go would have to clear the new memory.
		if err = r.fill(n); err == nil {
			p = r.buf[r.off : r.off+n : r.off+n]
			r.off += n
			if !lent {
				p = bytes.Clone(p)
			}
			return p, nil
		}
		ahead = r.end - r.off
	} else {
		if lent {
			r.lent = largest.Get().(*[MaxPayload]byte)
			p = r.lent[:n]
		} else {
			p = make([]byte, n)
		}
		copy(p, r.buf[r.off:r.end])
		r.off, r.end = 0, 0
		var m int
		m, err = io.ReadFull(r.src, p[ahead:])
		ahead += m
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("after %d of a payload's %d bytes: %w", ahead, n, io.ErrUnexpectedEOF)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// giveBack gives the memory of the payload that was lent back, and the large buffer when nothing in it is unread.
func (r *Reader) giveBack() {
	if r.lent != nil {
		largest.Put(r.lent)
		r.lent = nil
	}
	if r.off < r.end {
		return
	}
	if r.borrowed != nil {
		large.Put(r.borrowed)
		r.buf, r.borrowed = r.small, nil
	}
	r.off, r.end = 0, 0
}

// fill reads until buf[off:off+n] is filled. If fill fails, buf[:end] holds the bytes that did arrive.
func (r *Reader) fill(n int) error {
	missing := n - (r.end - r.off)
	if missing <= 0 {
		return nil
	}
	buf := r.buf
	if n > len(buf) {
		r.borrowed = large.Get().(*[aheadMost]byte)
		buf = r.borrowed[:]
	}
	r.end = copy(buf, r.buf[r.off:r.end])
	r.buf, r.off = buf, 0
	m, err := io.ReadAtLeast(r.src, r.buf[r.end:], missing)
	r.end += m
	return err
}

// Terminal returns the two parts of a terminal frame's payload: an HTTP status and an error body.
func Terminal(payload []byte) (status int, body []byte, err error) {
	if len(payload) < 2 {
		return 0, nil, &FormatError{fmt.Sprintf("terminal frame of %d bytes, where a status takes 2", len(payload))}
	}
	return int(binary.BigEndian.Uint16(payload)), payload[2:], nil
}
