package server

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// A frame is a length of 3 bytes, big-endian, then a byte of flags and the payload; the length counts the two. The low
// four bits of the flags are reserved: the server writes 0 and ignores what comes, so that newer clients can talk to
// it.
const (
	flagTerminal  = 0x80
	flagCodec     = 0x60
	flagReconnect = 0x10
)

// A codec is how a payload is compressed. The values are the bits of the flag byte.
type codec byte

const (
	plain codec = 0x00
	zstdC codec = 0x20
	gzipC codec = 0x40
)

// responseCodec chooses the compression of the frames of a response. Quality values are ignored, as S2 does. zstd comes
// first, because zstd is faster than gzip at the same size. Each frame says for itself how it is compressed, so a
// client that can read neither gets plain frames, and a small payload stays plain for every client.
func responseCodec(acceptEncoding []string) codec {
	all := strings.ToLower(strings.Join(acceptEncoding, ","))
	switch {
	case strings.Contains(all, "zstd"):
		return zstdC
	case strings.Contains(all, "gzip"):
		return gzipC
	}
	return plain
}

// A coder compresses and decompresses payloads. Any goroutine may use a coder. A zstd encoder and decoder need much
// memory, and the server has only one of each: a coder for each session would cost megabytes for each idle session.
type coder struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

func newCoder() (*coder, error) {
	// Two at a time, because an encoder takes its memory for each: a server on a large machine would otherwise hold
	// memory for each of its cores. A frame gets no checksum, as frames without compression have none either: TCP and TLS check
	// the bytes. With a checksum, a client took an eighth more processor time for records of 1 KiB.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(2), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, fmt.Errorf("s2 server: %w", err)
	}
	// The limit of the decoder is the larger one, of a unary body. decompress checks the smaller one, of a frame, on the
	// result.
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(2), zstd.WithDecoderMaxMemory(maxBody))
	if err != nil {
		return nil, fmt.Errorf("s2 server: %w", err)
	}
	return &coder{enc, dec}, nil
}

func (c *coder) close() {
	_ = c.enc.Close() // cannot fail: the encoder writes to no stream
	c.dec.Close()
}

// compress appends b to dst, compressed with the codec how.
func (c *coder) compress(how codec, dst, b []byte) []byte {
	switch how {
	case zstdC:
		return c.enc.EncodeAll(b, dst)
	case gzipC:
		buf := bytes.NewBuffer(dst)
		w := gzip.NewWriter(buf)
		_, _ = w.Write(b) // cannot fail: the writer writes to memory
		_ = w.Close()
		return buf.Bytes()
	}
	return append(dst, b...)
}

// decompress returns the content of b. If the content is larger than limit bytes, decompress fails: a small body could
// otherwise fill the memory of the server. The limits of S2 hold for the content, and a payload of a few KiB can expand
// to many MiB.
func (c *coder) decompress(how codec, b []byte, limit int) ([]byte, error) {
	var r io.Reader
	switch how {
	case plain:
		return b, nil
	case zstdC:
		out, err := c.dec.DecodeAll(b, nil) // the decoder stops at maxBody
		if err == nil && len(out) > limit {
			err = fmt.Errorf("more than %d bytes", limit)
		}
		return out, err
	case gzipC:
		d, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		r = d
	default:
		return nil, fmt.Errorf("unknown codec")
	}
	// One byte more than the limit tells content of exactly the limit from larger content.
	out, err := io.ReadAll(io.LimitReader(r, int64(limit)+1))
	if err == nil && len(out) > limit {
		err = fmt.Errorf("more than %d bytes", limit)
	}
	return out, err
}

// readFrame reads a frame, and returns its decompressed payload. The payload may use the memory of buf. grown is buf,
// or the larger memory in place of buf; pass grown to the next call. io.EOF: the client has ended between two frames.
// An end within a frame is an error, because the rest of a batch is missing. All mistakes are bad_frame with 400, and
// each of them ends the session: behind a wrong frame nobody knows where the next one begins.
func (c *coder) readFrame(r *bufio.Reader, buf []byte) (payload, grown []byte, err error) {
	// Peek and not Read: an end in front of the frame is the clean end of the session, and must be told apart from an
	// end inside.
	head, err := r.Peek(3)
	if err != nil {
		if err == io.EOF && len(head) > 0 {
			err = badRequest("bad_frame", "the request ended inside a frame")
		}
		return nil, buf, err
	}
	n := int(head[0])<<16 | int(head[1])<<8 | int(head[2])
	// The length is checked before memory is made for the frame: 24 bits of length would let a client ask for 16 MiB at
	// once.
	if n == 0 || n > maxFrame {
		return nil, buf, badRequest("bad_frame", "frame of length %d, where 1 to %d is allowed", n, maxFrame)
	}
	// The flags are peeked at apart from the length: the length alone decides whether the frame has a byte of flags at
	// all.
	if head, err = r.Peek(4); err != nil {
		if err == io.EOF {
			err = badRequest("bad_frame", "the request ended inside a frame")
		}
		return nil, buf, err
	}
	flags := head[3]
	switch {
	// Only a server ends a session with a terminal frame.
	case flags&flagTerminal != 0:
		return nil, buf, badRequest("bad_frame", "a client must not send a terminal frame")
	case flags&flagCodec == flagCodec:
		return nil, buf, badRequest("bad_frame", "unknown compression in the flags %#x of a frame", flags)
	}
	_, _ = r.Discard(4) // cannot fail: Peek has read these bytes
	n--
	// The reserve of a quarter keeps a session whose frames grow slowly from making a new buffer for every frame.
	if cap(buf) < n {
		buf = make([]byte, n+n/4)
	}
	buf = buf[:n]
	if _, err := io.ReadFull(r, buf); err != nil {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			err = badRequest("bad_frame", "the request ended inside a frame")
		}
		return nil, buf, err
	}
	// The limit holds for the payload without compression too: see decompress.
	payload, err = c.decompress(codec(flags&flagCodec), buf, maxFrame-1)
	if err != nil {
		return nil, buf, badRequest("bad_frame", "the payload of a frame cannot be decompressed: %v", err)
	}
	return payload, buf, nil
}

// A frame is written in place. startFrame appends room for the head. Then the caller appends the payload. endFrame
// fills in the head of the frame that begins at at. The size of a compressed payload is known only at the end, and a
// copy behind a head would cost a pass over the payload.
func startFrame(dst []byte) []byte { return append(dst, 0, 0, 0, 0) }

func endFrame(dst []byte, at int, flags byte) {
	// The length does not count its own three bytes.
	n := len(dst) - at - 3
	binary.BigEndian.PutUint32(dst[at:], uint32(n)<<8|uint32(flags))
}

// appendFrame appends a regular frame with payload. A payload below minCompressed bytes is not compressed.
func (c *coder) appendFrame(dst, payload []byte, how codec, flags byte) []byte {
	// The limit is on the payload of one frame, as in S2. Two small frames are not joined, because each is an answer of
	// its own.
	if len(payload) < minCompressed {
		how = plain
	}
	at := len(dst)
	dst = c.compress(how, startFrame(dst), payload)
	endFrame(dst, at, byte(how)|flags)
	return dst
}

// appendTerminal appends the terminal frame, which ends a session with an error. Its payload is the status in 2 bytes,
// big-endian, and the body that an HTTP error would have. So a client handles a failure in the middle of a session like
// one at the beginning.
func appendTerminal(dst []byte, e *apiError) []byte {
	at := len(dst)
	// A terminal frame is never compressed: S2 forbids it, and a client may read the frame without a decoder.
	dst = binary.BigEndian.AppendUint16(startFrame(dst), uint16(e.status))
	dst = append(dst, e.json()...)
	endFrame(dst, at, flagTerminal)
	return dst
}
