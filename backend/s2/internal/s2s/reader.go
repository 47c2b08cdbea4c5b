package s2s

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A Reader cuts frames from a stream.
type Reader struct {
	src io.Reader
	buf *bufio.Reader
}

// NewReader makes a Reader. It reads ahead, so src is its own from now on.
func NewReader(src io.Reader) *Reader {
	// Small frames (acks, heartbeats) come out of the buffer; a large payload is read past it into its own memory.
	return &Reader{src: src, buf: bufio.NewReaderSize(src, 4<<10)}
}

// Next returns the next frame's flags and payload, which is newly allocated and nobody else's. io.EOF means that the
// stream ended between two frames; an end within one is [io.ErrUnexpectedEOF], since what was cut off is missing.
func (r *Reader) Next() (Flags, []byte, error) { return r.next(nil) }

// NextInto is Next with the payload in dst's memory, if that is large enough, until the following call.
func (r *Reader) NextInto(dst []byte) (Flags, []byte, error) { return r.next(dst) }

func (r *Reader) next(dst []byte) (Flags, []byte, error) {
	head, err := r.buf.Peek(HeaderSize)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			err = fmt.Errorf("in a frame's header: %w", io.ErrUnexpectedEOF)
		}
		return 0, nil, err
	}
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
	_, _ = r.buf.Discard(HeaderSize) // it was peeked
	n := length - 1
	if cap(dst) < n {
		dst = make([]byte, n)
	}
	dst = dst[:n]
	if got, err := io.ReadFull(r.buf, dst); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("after %d of a payload's %d bytes: %w", got, n, io.ErrUnexpectedEOF)
		}
		return 0, nil, err
	}
	return flags, dst, nil
}

// Buffered reports whether the whole next frame has been read already, so that Next will not wait.
func (r *Reader) Buffered() bool {
	n := r.buf.Buffered()
	if n < HeaderSize {
		return false
	}
	head, _ := r.buf.Peek(HeaderSize)
	return n >= 3+(int(head[0])<<16|int(head[1])<<8|int(head[2]))
}

// Terminal takes the payload of a terminal frame apart: an HTTP status and an error body.
func Terminal(payload []byte) (status int, body []byte, err error) {
	if len(payload) < 2 {
		return 0, nil, &FormatError{fmt.Sprintf("terminal frame of %d bytes, where a status takes 2", len(payload))}
	}
	return int(binary.BigEndian.Uint16(payload)), payload[2:], nil
}
