package h2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/net/http2/hpack"

	"github.com/headrace/headrace/internal/misconfig"
)

// Read reads the body of the response. io.EOF is the end that the server has marked. Any other error means that the
// response is not complete.
// Read handles all frames of the server, not only DATA. SETTINGS, PING and WINDOW_UPDATE are obeyed while Read looks for the
// next byte of the body. While nobody calls Read, a Write waits for room that the server may have given already.
func (s *Stream) Read(p []byte) (int, error) {
	// A DATA frame may be empty, and other frames may stand between two DATA frames. Without the loop, Read would return 0
	// bytes and no error, and a reader such as bufio.Reader would give up after some turns.
	for s.left == 0 {
		if err := s.nextData(); err != nil {
			// The writer must learn of the end too: otherwise a Write would wait for room, and no frame can give room any more.
			return 0, s.lost(err)
		}
	}
	// Behind the left bytes stands padding or the head of the next frame. Neither belongs to the body.
	n, err := s.in.Read(p[:min(len(p), s.left)])
	s.left -= n
	if err != nil {
		err = s.lost(err)
	}
	return n, err
}

// nextData goes on to the next byte of the body.
func (s *Stream) nextData() error {
	if s.padding > 0 {
		// The padding stands behind the data, so the padding is dropped only now, when Read has taken the data.
		if _, err := s.in.Discard(s.padding); err != nil {
			return err
		}
		s.padding = 0
	}
	// The end is told before another frame is read. The server may leave the connection open behind the response, and Read
	// would wait for a frame that never comes.
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
	// DATA and HEADERS read their own payload. A payload of DATA stays in the buffer for Read, and headers may go on in further
	// frames.
	case typ == frameHeaders:
		return s.response(length, f, stream)
	// Our SETTINGS forbid a PUSH_PROMISE, and a CONTINUATION may stand only directly behind HEADERS, where response reads it.
	// Both carry a part of the header table, so we cannot skip them and still decode later headers.
	case typ == framePush, typ == frameContinuation:
		return nil, false, fmt.Errorf("the server sent a frame of type %d, which is not allowed here", typ)
	}
	// The payload of an unknown type is read too, and then dropped, because the next head stands behind the payload.
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
	// Peek shows the head in place, without a copy, and fails when the connection ends inside the head.
	b, err := s.in.Peek(headBytes)
	// This check comes before the others: an alert of TLS is shorter than a head, and "HTTP/" as a head would mean a length of 4.7
	// MB, and an error about a length would not tell the operator what answers there.
	// Behind a response of HTTP/2, such bytes come from a broken proxy, and say nothing about the settings.
	if other := otherProtocol(b); other != nil && !s.responded {
		return 0, 0, 0, 0, other
	}
	if err != nil {
		return 0, 0, 0, 0, err
	}
	length = int(binary.BigEndian.Uint32(b) >> 8)
	typ, f, stream = frameType(b[3]), flags(b[4]), binary.BigEndian.Uint32(b[5:])&mostWindow
	// Our SETTINGS leave the largest frame at the default, so a server that sends more breaks the protocol. The limit also
	// bounds the memory that payload allocates.
	if length > leastMaxFrame {
		return 0, 0, 0, 0, fmt.Errorf("a frame of %d bytes from the server, at most %d are allowed; it begins with %q", length, leastMaxFrame, b)
	}
	_, _ = s.in.Discard(headBytes) // cannot fail: Peek has read these bytes
	return length, typ, f, stream, nil
}

// otherProtocol returns an error if b, where a head of a frame is due, is from a server of another protocol.
func otherProtocol(b []byte) error {
	switch {
	case bytes.HasPrefix(b, []byte("HTTP/")):
		return &misconfig.Sign{Cause: misconfig.NoHTTP2, Err: fmt.Errorf("the server does not speak HTTP/2: its answer begins with %q", b)}
	case bytes.HasPrefix(b, []byte("\x15\x03")):
		return &misconfig.Sign{Cause: misconfig.NeedsTLS, Err: errors.New("the server has answered with an alert of TLS")}
	}
	return nil
}

// payload reads the payload of a frame without data. It is valid until the next call.
func (s *Stream) payload(n int) ([]byte, error) {
	// PING, SETTINGS and WINDOW_UPDATE mostly have a few bytes. With the array, these frames allocate nothing.
	b := s.small[:]
	if n > len(b) {
		b = make([]byte, n)
	}
	_, err := io.ReadFull(s.in, b[:n])
	return b[:n], err
}

// data prepares Read for the payload of a DATA frame.
func (s *Stream) data(length int, f flags, stream uint32) error {
	// Data before the headers would become the body of a response that the server has not begun.
	if stream != requestStream || !s.responded {
		return fmt.Errorf("the server sent data for stream %d, in front of a response", stream)
	}
	// The whole payload counts against our windows, padding too. We give the room back at once: the server sends no more than
	// acks, and Read holds only its buffer.
	// If we gave back less than the server has counted, the window of the server would shrink with each padded frame, and in
	// the end the server could not send an ack.
	if err := s.giveBack(length); err != nil {
		return err
	}
	if f&flagPadded != 0 {
		// In an empty frame with this flag, ReadByte takes a byte of the next head. Then length is -1, and the check below
		// refuses the frame.
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
	// A WINDOW_UPDATE for each DATA frame would cost a system call for each ack. At half of the window, the server still has
	// room for the acks that leave before our update arrives.
	if s.unreturned += n; s.unreturned < firstWindow/2 {
		return nil
	}
	// The server counts each DATA frame against two windows, of the connection (0) and of the stream, so both must grow.
	frames := appendWindowUpdate(appendWindowUpdate(nil, 0, s.unreturned), requestStream, s.unreturned)
	s.unreturned = 0
	return s.answer(frames)
}

// settings obeys the settings of the server, and says so.
func (s *Stream) settings(f flags, payload []byte) error {
	if f&flagAck != 0 {
		return nil
	}
	if len(payload)%6 != 0 {
		return fmt.Errorf("a SETTINGS frame of %d bytes", len(payload))
	}
	// The settings change and the ack gets its place among the frames in one step. The server applies the settings to all data behind
	// the ack, and to no data in front. Data on the wrong side of the ack could be too much for the server, and the server would end
	// the connection.
	s.mu.Lock()
	defer s.mu.Unlock()
	// A setting has 6 bytes: 2 for its number and 4 for its value.
	for b := range slices.Chunk(payload, 6) {
		if err := s.setLocked(binary.BigEndian.Uint16(b), binary.BigEndian.Uint32(b[2:])); err != nil {
			return err
		}
	}
	wake(s.room)
	s.met = true
	// The server waits for this ack, and may give the connection up if no ack comes (SETTINGS_TIMEOUT).
	return s.answerLocked(appendFrame(nil, frameSettings, flagAck, 0))
}

func (s *Stream) setLocked(setting uint16, v uint32) error {
	switch setting {
	case settingInitialWindow:
		// The setting counts from the beginning of the stream, so the window changes by the difference.
		// If bytes have left already, the difference may make the window negative: admit then waits until updates have made up
		// for that.
		window := s.window + int64(v) - s.initial
		if v > mostWindow || window > mostWindow {
			return fmt.Errorf("a window of %d bytes", v)
		}
		s.window, s.initial = window, int64(v)
	case settingMaxFrame:
		// The protocol gives these bounds. A largest frame of 0 would stop every Write for ever, because admit would find no
		// room.
		if v < leastMaxFrame || v > 1<<24-1 {
			return fmt.Errorf("a largest frame of %d bytes", v)
		}
		s.maxFrame = int(v)
	case settingMaxHeaders:
		// A server may refuse longer headers in many ways, with a status, a reset or the end of the connection, and most of them look
		// like a failure that may pass. Behind its response, the server has taken the headers.
		if s.asked > v && !s.responded {
			return longHeaders(int(s.asked), int(v))
		}
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
	return s.answer(appendFrame(nil, framePing, flagAck, 0, payload...))
}

// grow makes the window of the stream or of the connection larger.
func (s *Stream) grow(stream uint32, payload []byte) error {
	if len(payload) != 4 {
		return fmt.Errorf("a WINDOW_UPDATE frame of %d bytes", len(payload))
	}
	if stream > requestStream {
		return fmt.Errorf("the server sent a window for stream %d", stream)
	}
	n := int64(binary.BigEndian.Uint32(payload) & mostWindow)
	s.mu.Lock()
	// The writer needs room in both windows. If we put the update of one window to the other, the writer would send too much,
	// and the server would give up the connection, or the writer would wait for ever.
	window := &s.common
	if stream != 0 {
		window = &s.window
	}
	*window += n
	// The protocol forbids a window beyond this bound, and an update by 0 too. After either, both sides count differently.
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
	code := binary.BigEndian.Uint32(payload)
	if code == codeRefused {
		return fmt.Errorf("%w, error code %d", ErrRefused, code)
	}
	return fmt.Errorf("the server has reset the request, error code %d", code)
}

// goAway decides whether a GOAWAY concerns our request. With error code 0 the server only takes no new requests on the
// connection, and ours goes on, unless the server has never seen our request.
func goAway(payload []byte) error {
	if len(payload) < 8 {
		return fmt.Errorf("a GOAWAY frame of %d bytes", len(payload))
	}
	lastStream := binary.BigEndian.Uint32(payload) & mostWindow
	code := binary.BigEndian.Uint32(payload[4:])
	// A server that shuts down in good order sends this frame and still answers what it has got. If we ended here, the batches
	// in flight would be in doubt for no reason.
	if code == 0 && lastStream >= requestStream {
		return nil
	}
	// The caller hides its token in the text. A part of a token would not be found, so a long text is left out.
	text := payload[8:]
	if len(text) > 200 {
		text = nil
	}
	return fmt.Errorf("the server has given the connection up, error code %d: %q", code, text)
}
