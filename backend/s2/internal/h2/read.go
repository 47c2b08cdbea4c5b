package h2

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"golang.org/x/net/http2/hpack"
)

// Read reads the body of the response. io.EOF is the end that the server has marked. Any other error means that the
// response is not complete.
func (s *Stream) Read(p []byte) (int, error) {
	for s.left == 0 {
		if err := s.nextData(); err != nil {
			s.end(err)
			return 0, err
		}
	}
	n, err := s.in.Read(p[:min(len(p), s.left)])
	s.left -= n
	if err != nil {
		s.end(err)
	}
	return n, err
}

// nextData goes on to the next byte of the body.
func (s *Stream) nextData() error {
	if s.padding > 0 {
		if _, err := s.in.Discard(s.padding); err != nil {
			return err
		}
		s.padding = 0
	}
	if s.last {
		s.end(errAnswered)
		return io.EOF
	}
	_, _, err := s.frame()
	return err
}

// frame reads a frame and obeys it. fields are the header fields of the frame, nil for a frame without headers. final means
// that the headers are those of the response itself.
func (s *Stream) frame() (fields []hpack.HeaderField, final bool, err error) {
	length, typ, f, stream, err := s.head()
	if err != nil {
		return nil, false, err
	}
	switch {
	case typ == frameData:
		return nil, false, s.data(length, f, stream)
	case typ == frameHeaders:
		return s.response(length, f, stream)
	case typ == framePush, typ == frameContinuation:
		return nil, false, fmt.Errorf("the server sent a frame of type %d, which is not allowed here", typ)
	}
	payload, err := s.payload(length)
	if err != nil {
		return nil, false, err
	}
	switch typ {
	case frameSettings:
		err = s.settings(f, payload)
	case framePing:
		err = s.ping(f, payload)
	case frameWindowUpdate:
		err = s.grow(stream, payload)
	case frameResetStream:
		err = reset(payload)
	case frameGoAway:
		err = goAway(payload)
	}
	return nil, false, err
}

// head reads the head of the next frame.
func (s *Stream) head() (length int, typ frameType, f flags, stream uint32, err error) {
	b, err := s.in.Peek(headBytes)
	if err != nil {
		return 0, 0, 0, 0, err
	}
	length = int(binary.BigEndian.Uint32(b) >> 8)
	typ, f, stream = frameType(b[3]), flags(b[4]), binary.BigEndian.Uint32(b[5:])&mostWindow
	switch {
	case string(b[:5]) == "HTTP/":
		return 0, 0, 0, 0, fmt.Errorf("the server does not speak HTTP/2: its answer begins with %q", b)
	case length > leastMaxFrame:
		return 0, 0, 0, 0, fmt.Errorf("a frame of %d bytes from the server, at most %d are allowed", length, leastMaxFrame)
	}
	_, _ = s.in.Discard(headBytes) // cannot fail: Peek has read these bytes
	return length, typ, f, stream, nil
}

// payload reads the payload of a frame without data. It is valid until the next call.
func (s *Stream) payload(n int) ([]byte, error) {
	b := s.small[:]
	if n > len(b) {
		b = make([]byte, n)
	}
	_, err := io.ReadFull(s.in, b[:n])
	return b[:n], err
}

// data prepares Read for the payload of a DATA frame.
func (s *Stream) data(length int, f flags, stream uint32) error {
	if stream != requestStream || s.headers != nil {
		return fmt.Errorf("the server sent data for stream %d, in front of a response", stream)
	}
	// The whole payload counts against our windows, padding too. We give the room back at once: the server sends no more than
	// acks, and Read holds only its buffer.
	if err := s.giveBack(length); err != nil {
		return err
	}
	if f&flagPadded != 0 {
		padding, err := s.in.ReadByte()
		if length--; err != nil {
			return err
		}
		if s.padding = int(padding); s.padding > length {
			return fmt.Errorf("a DATA frame of %d bytes with %d bytes of padding", length, padding)
		}
	}
	s.left, s.last = length-s.padding, f&flagEndStream != 0
	return nil
}

// giveBack counts n received bytes, and grows the server's windows when half of them is used up.
func (s *Stream) giveBack(n int) error {
	if s.unsaid += n; s.unsaid < firstWindow/2 {
		return nil
	}
	frames := appendWindowUpdate(appendWindowUpdate(nil, 0, s.unsaid), requestStream, s.unsaid)
	s.unsaid = 0
	return s.send(frames)
}

// settings obeys the settings of the server, and says so.
func (s *Stream) settings(f flags, payload []byte) error {
	if f&flagAck != 0 {
		return nil
	}
	if len(payload)%6 != 0 {
		return fmt.Errorf("a SETTINGS frame of %d bytes", len(payload))
	}
	for b := range slices.Chunk(payload, 6) {
		if err := s.set(binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:])); err != nil {
			return err
		}
	}
	wake(s.room)
	return s.send(appendFrame(nil, frameSettings, flagAck, 0))
}

func (s *Stream) set(setting uint16, v uint32) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch setting {
	case settingInitialWindow:
		if v > mostWindow {
			return fmt.Errorf("a window of %d bytes", v)
		}
		// The setting counts from the beginning of the stream, so the window changes by the difference.
		s.window += int(v) - s.initial
		s.initial = int(v)
	case settingMaxFrame:
		if v < leastMaxFrame || v > 1<<24-1 {
			return fmt.Errorf("a largest frame of %d bytes", v)
		}
		s.maxFrame = int(v)
	}
	return nil
}

func (s *Stream) ping(f flags, payload []byte) error {
	if len(payload) != 8 {
		return fmt.Errorf("a PING frame of %d bytes", len(payload))
	}
	if f&flagAck != 0 {
		return nil // its bytes were the sign of life: see alive
	}
	return s.send(appendFrame(nil, framePing, flagAck, 0, payload...))
}

// grow makes the window of the stream or of the connection larger.
func (s *Stream) grow(stream uint32, payload []byte) error {
	if len(payload) != 4 {
		return fmt.Errorf("a WINDOW_UPDATE frame of %d bytes", len(payload))
	}
	n := int(binary.BigEndian.Uint32(payload) & mostWindow)
	s.mu.Lock()
	window := &s.common
	if stream != 0 {
		window = &s.window
	}
	*window += n
	tooLarge := *window > mostWindow
	s.mu.Unlock()
	if n == 0 || tooLarge {
		return fmt.Errorf("a window that grows by %d bytes", n)
	}
	wake(s.room)
	return nil
}

// reset explains a RST_STREAM: the server gives the request up.
func reset(payload []byte) error {
	if len(payload) != 4 {
		return fmt.Errorf("a RST_STREAM frame of %d bytes", len(payload))
	}
	return fmt.Errorf("the server has reset the request, error code %d", binary.BigEndian.Uint32(payload))
}

// goAway decides whether a GOAWAY concerns our request. With error code 0 the server only takes no new requests on the
// connection, and ours goes on, unless the server has never seen our request.
func goAway(payload []byte) error {
	if len(payload) < 8 {
		return fmt.Errorf("a GOAWAY frame of %d bytes", len(payload))
	}
	lastStream := binary.BigEndian.Uint32(payload) & mostWindow
	code := binary.BigEndian.Uint32(payload[4:])
	if code == 0 && lastStream >= requestStream {
		return nil
	}
	return fmt.Errorf("the server has given the connection up, error code %d: %.200q", code, payload[8:])
}
