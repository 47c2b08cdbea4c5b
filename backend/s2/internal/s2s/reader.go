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
	buf   *bufio.Reader
	spare []byte // for compressed payloads, which are of no use once they are opened
}

// NewReader makes a Reader. It reads ahead, so src is its own from now on.
func NewReader(src io.Reader) *Reader {
	// Small frames (acks, heartbeats) come out of the buffer; a large payload is read past it into its own memory. From
	// 4 KiB read at once, HTTP/2 tells the peer that there is room again, which takes a system call: less is read here, so
	// that it comes but once for a large frame.
	return &Reader{buf: bufio.NewReaderSize(src, 2<<10)}
}

// Next returns the next frame's flags and payload, which is newly allocated and nobody else's; a compressed one is good
// until the following call only. io.EOF means that the stream ended between two frames; an end within one is
// [io.ErrUnexpectedEOF], since what was cut off is missing.
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
	own := dst == nil && flags.Codec() != None
	if own {
		dst = r.spare
	}
	if cap(dst) < n {
		dst = make([]byte, n)
	}
	dst = dst[:n]
	if own {
		r.spare = dst
	}
	if got, err := io.ReadFull(r.buf, dst); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			err = fmt.Errorf("after %d of a payload's %d bytes: %w", got, n, io.ErrUnexpectedEOF)
		}
		return 0, nil, err
	}
	return flags, dst, nil
}

// Terminal takes the payload of a terminal frame apart: an HTTP status and an error body.
func Terminal(payload []byte) (status int, body []byte, err error) {
	if len(payload) < 2 {
		return 0, nil, &FormatError{fmt.Sprintf("terminal frame of %d bytes, where a status takes 2", len(payload))}
	}
	return int(binary.BigEndian.Uint16(payload)), payload[2:], nil
}
