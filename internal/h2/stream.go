package h2

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"
)

// HeadRoom is how many free bytes [Stream.Write] needs in front of the data.
const HeadRoom = headBytes

const (
	// A silent connection is asked for a sign of life after pingAfter, and is given up after pingAfter more.
	pingAfter = 15 * time.Second

	// writeWait is how long a write may make no progress.
	writeWait = 30 * time.Second

	// readBuffer has room for many acks of S2, and is most of what an idle Stream costs.
	readBuffer = 2 << 10
)

var (
	errClosed   = errors.New("the connection was closed")
	errFinished = errors.New("the body of the request has ended")
	errAnswered = errors.New("the server has ended the response")
)

// A Stream is a connection with its request. One goroutine calls Write, after Claim. Another goroutine calls Read, and must
// call Read all the time: only Read handles the frames by which the server gives room for more data. Any goroutine calls
// Finish, Begun and Close.
//
// Lock order: sending comes before mu.
type Stream struct {
	conn net.Conn
	in   *bufio.Reader
	room chan struct{} // holds one token: the windows have grown, or the body or the stream has ended
	idle chan struct{} // holds one token: a Write is complete, or the body or the stream has ended

	// The goroutine that writes a batch, the goroutine that reads (acks of SETTINGS and PING, windows) and the caller of Finish
	// all write to the connection.
	sending sync.Mutex // held while bytes are written, so that no frame begins inside another frame

	mu        sync.Mutex
	window    int         // of the stream; below 0 after the server has reduced its setting
	common    int         // the window of the connection, which the stream has for itself
	initial   int         // the server's setting for the window of a new stream
	maxFrame  int         // the largest payload that the server accepts
	writing   bool        // claimed, and the data has not left
	partly    bool        // a part of the claimed data may have left
	finishing bool        // the body ends behind the data of the writer
	begun     int         // claims of which a byte may have left
	ended     error       // why nothing more can be written
	unwatch   func() bool // stops the watch over the context of the request

	// Only the goroutine that reads uses these.
	headers    *hpack.Decoder // nil behind the headers of the response
	left       int            // bytes of the current DATA frame
	padding    int            // bytes behind left
	last       bool           // no frame with data follows the current frame
	unreturned int            // bytes of DATA frames for which the server has not got new room yet
	small      [64]byte       // the payload of most frames without data
}

func newStream(conn net.Conn) *Stream {
	s := &Stream{
		conn: conn, room: make(chan struct{}, 1), idle: make(chan struct{}, 1), headers: hpack.NewDecoder(4096, nil),
		// The protocol lets us send before the SETTINGS of the server have come, within these first values.
		window: firstWindow, common: firstWindow, initial: firstWindow, maxFrame: leastMaxFrame,
	}
	s.in = bufio.NewReaderSize(alive{s}, readBuffer)
	return s
}

// Ready waits until the Write before is complete and the server has given room for more. Without room, a Write would begin
// and stand still, and the caller could not take the data back any more.
func (s *Stream) Ready(ctx context.Context) error {
	// The room is not reserved. The caller is the only writer, so the room cannot become less before the Write, except by
	// SETTINGS.
	_, err := s.admit(ctx, true)
	return err
}

// Claim reserves the stream for one Write, which must follow. Claim returns false if nothing more can be written: the stream
// or the body has ended.
func (s *Stream) Claim() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	// Behind the end of the body, the protocol allows no DATA. The check and the claim are one step, so that Finish sees the
	// claim, or the claim sees Finish.
	if s.ended != nil || s.finishing {
		return false
	}
	s.writing = true
	return true
}

// Write sends data[HeadRoom:] from the caller's memory, and changes data. Write waits for room. If ctx ends during the wait,
// Write returns the rest of data, in the same form. The caller must call Write again with the rest: the beginning has left,
// and the claim lasts. After an error, a part of the data may have left. The stream is of no use then, and is closed.
func (s *Stream) Write(ctx context.Context, data []byte) (rest []byte, err error) {
	rest, err = s.write(ctx, data)
	if err != nil {
		// The server has got a part of a frame, perhaps. Whatever we sent next, the server would take for the rest of the
		// frame, so the connection cannot be used any more, not even to end the body.
		s.end(err)
		_ = s.Close()
	} else if rest != nil {
		// The claim stays, and so does the note that the body ends behind the data: the Write of the rest does both.
		return rest, nil
	}
	s.mu.Lock()
	// The end of the claim and the look at finishing are one step. Otherwise a Finish in between would leave the end of the
	// body to this Write, and this Write would not see the wish: the server would wait for more for ever.
	s.writing, s.partly = false, false
	finish := s.finishing && s.ended == nil
	s.mu.Unlock()
	wake(s.idle)
	if finish {
		s.sendEnd()
	}
	return nil, err
}

func (s *Stream) write(ctx context.Context, data []byte) (rest []byte, err error) {
	for at := HeadRoom; at < len(data); {
		room, err := s.admit(ctx, false)
		switch {
		// The bytes in front of at have left. data begins HeadRoom bytes earlier, and these bytes have left too, or are free
		// room: the next Write may put its head there.
		case err != nil && err == ctx.Err():
			return data[at-HeadRoom:], nil
		case err != nil:
			return nil, err
		}
		n := min(room, len(data)-at)
		// spend comes before send: an update of the server that answers these bytes may arrive before send returns.
		s.spend(n)
		// The head overwrites bytes that have left already, or the room in front. So each frame is one write, without a copy.
		frame := data[at-HeadRoom : at+n]
		putHead(frame, n, frameData, 0, requestStream)
		if err := s.send(frame); err != nil {
			return nil, err
		}
		at += n
	}
	return nil, nil
}

// admit waits for room, and returns how many bytes the next frame may have. fresh: the data has not begun to leave. Then the
// data before goes first, and the end of the body ends the wait too.
func (s *Stream) admit(ctx context.Context, fresh bool) (int, error) {
	for {
		s.mu.Lock()
		// Each bound is looked at again for each frame, because SETTINGS and updates of the server may come between two frames.
		room, err := min(s.window, s.common, s.maxFrame, mostData), s.ended
		more := s.room
		switch {
		case err == nil && fresh && s.finishing:
			err = errFinished
		// The room belongs to the Write in progress. If both waited for s.room, the token could wake the one that may not write
		// yet, and the Write in progress would sleep on beside free room.
		case fresh && s.writing:
			room, more = 0, s.idle
		}
		s.mu.Unlock()
		if err != nil || room > 0 {
			return room, err
		}
		select {
		// The token may be an old one, for room that is spent by now. The loop looks again, so an old token costs one turn.
		case <-more:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// spend takes n bytes from the windows, before the bytes leave.
func (s *Stream) spend(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window -= n
	s.common -= n
	// Only the first frame of a claim counts. begun grows before a byte leaves: a count that came later would let the caller
	// take a batch that the server has got for one that never left.
	if !s.partly {
		s.partly = true
		s.begun++
	}
}

// send writes whole frames. A slow network may take its time, as long as bytes leave. With TLS, a deadline that has passed
// spoils the connection, so there each frame has to leave in writeWait.
func (s *Stream) send(frames []byte) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	for len(frames) > 0 {
		// The deadline starts anew after each part, so a slow network that still moves bytes is not given up.
		if err := s.conn.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
			return err
		}
		n, err := s.conn.Write(frames)
		frames = frames[n:]
		// Some bytes have left within the deadline. The rest must follow: a frame that is cut off cannot be repaired by a new
		// frame.
		if err != nil && (n == 0 || !errors.Is(err, os.ErrDeadlineExceeded)) {
			return err
		}
	}
	return nil
}

// Finish ends the body of the request, behind the data that was claimed. The response goes on. Finish may wait for the
// network.
func (s *Stream) Finish() {
	s.mu.Lock()
	// A second end of the body would break the protocol, and the server would reset the request, and with it the answers it
	// owes.
	done := s.finishing || s.ended != nil
	s.finishing = true
	writing := s.writing // Write ends the body itself
	s.mu.Unlock()
	s.wakeBoth()
	// The frame leaves without the lock mu, because the network may make the caller wait, and the reader needs mu to handle
	// updates.
	if !done && !writing {
		s.sendEnd()
	}
}

func (s *Stream) sendEnd() {
	if err := s.send(appendFrame(nil, frameData, flagEndStream, requestStream)); err != nil {
		s.end(err)
		_ = s.Close()
	}
}

// Begun returns how many claims have begun to leave: the server may have bytes of their data, and of no other data.
func (s *Stream) Begun() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun
}

// end notes why nothing more can be written. The first reason stays.
func (s *Stream) end(why error) {
	s.mu.Lock()
	if s.ended == nil {
		s.ended = why
	}
	s.mu.Unlock()
	s.wakeBoth()
}

func (s *Stream) wakeBoth() {
	wake(s.room)
	wake(s.idle)
}

// Close cuts the connection, and makes Read and Write return.
func (s *Stream) Close() error {
	// The end is noted before the connection is cut. Otherwise a Write could name the fault of a closed socket as the reason,
	// and the caller would take our own Close for a fault of the network.
	s.end(errClosed)
	s.mu.Lock()
	unwatch := s.unwatch
	s.mu.Unlock()
	// Without this, the context of the request would keep the Stream and its buffer in memory until the context ends.
	if unwatch != nil {
		unwatch()
	}
	// A tls.Conn says goodbye in its Close, and may wait for a dead network for seconds.
	if secure, ok := s.conn.(*tls.Conn); ok {
		return secure.NetConn().Close()
	}
	return s.conn.Close()
}

// watch closes the stream at the end of ctx.
func (s *Stream) watch(ctx context.Context) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unwatch = context.AfterFunc(ctx, func() { _ = s.Close() })
}

// alive reads from the connection of a Stream, and asks a silent server for a sign of life. A dead connection may give no
// other sign: the packets of both sides are lost without a word.
type alive struct{ s *Stream }

func (a alive) Read(p []byte) (int, error) {
	for pinged := false; ; pinged = true {
		// A timeout of a read does no harm to a tls.Conn, other than a timeout of a write, so the deadline can be used as a
		// clock.
		if err := a.s.conn.SetReadDeadline(time.Now().Add(pingAfter)); err != nil {
			return 0, err
		}
		n, err := a.s.conn.Read(p)
		switch {
		// Any byte is a sign of life, whatever frame the byte belongs to. The answer to the ping need not be recognized.
		case n > 0 || !errors.Is(err, os.ErrDeadlineExceeded):
			if n == 0 && err == io.EOF {
				err = io.ErrUnexpectedEOF // a response ends with a flag, and never with its connection
			}
			return n, err
		case pinged:
			return 0, errors.New("the server has been silent for 30s, also after a ping")
		}
		// The bytes of the ping say nothing: only one ping is under way at a time.
		if err := a.s.send(appendFrame(nil, framePing, 0, 0, make([]byte, 8)...)); err != nil {
			return 0, err
		}
	}
}

// wake leaves a token. One token is enough, because the receiver looks at everything again.
func wake(token chan<- struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
