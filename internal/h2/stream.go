package h2

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"

	"golang.org/x/net/http2/hpack"
)

// HeadRoom is how many free bytes [Stream.Write] needs in front of the data.
const HeadRoom = headBytes

const (
	// writeWait is how long a write may make no progress.
	writeWait = 30 * time.Second

	// lastWords is how long Read may go on after a write has failed.
	lastWords = time.Second

	// readBuffer has room for many acks of S2, and is most of what an idle Stream costs.
	readBuffer = 2 << 10
)

var (
	errClosed   = errors.New("the connection was closed")
	errFinished = errors.New("the body of the request has ended")
	errAnswered = errors.New("the server has ended the response")
)

// A Stream is a connection with its request. One goroutine calls Write or Collect, after Claim. Another goroutine calls Read, and must
// call Read all the time: only Read handles the frames by which the server gives room for more data. Any goroutine calls
// Finish, Begun and Close.
//
// Lock order: sending comes before mu.
type Stream struct {
	conn      net.Conn
	pingAfter time.Duration // see Configure
	in        *bufio.Reader
	room      chan struct{} // holds one token: the windows have grown, or the body or the stream has ended
	idle      chan struct{} // holds one token: a Write is complete, or the body or the stream has ended

	sending sync.Mutex  // held while bytes are written, so that no frame begins inside another frame
	parts   [][]byte    // the frames to write; used again for each write
	unsent  net.Buffers // the rest of parts; a field, because a variable would be allocated for each write
	heads   []byte      // of the frames behind the first one of a write; nil before the first such write
	cutOff  error       // why a write has failed: nothing more is written; guarded by sending

	framesAtOnce int // how many DATA frames one write may have; never changes

	mu        sync.Mutex
	window    int64       // of the stream; below 0 after the server has reduced its setting
	common    int64       // the window of the connection, which the stream has for itself
	initial   int64       // the server's setting for the window of a new stream
	maxFrame  int         // the largest payload that the server accepts
	writing   bool        // claimed, and the data has not left
	partly    bool        // a part of the claimed data may have left
	finishing bool        // the body ends behind the data of the writer
	out       outbox      // frames that leave next
	begun     int         // claims of which a byte may have left
	ended     error       // why nothing more can be written
	unwatch   func() bool // stops the watch over the context of the request

	// Only the goroutine that reads uses these.
	headers    *hpack.Decoder
	asked      uint32      // the size of the headers of the request, as settingMaxHeaders counts
	met        bool        // the SETTINGS of the server have come
	responded  bool        // the headers of the response have come
	trailer    http.Header // the fields behind the body: see http.Response
	left       int         // bytes of the current DATA frame
	padding    int         // bytes behind left
	last       bool        // no frame with data follows the current frame
	unreturned int         // bytes of DATA frames for which the server has not got new room yet
	small      [64]byte    // the payload of most frames without data
}

func newStream(conn net.Conn, pingAfter time.Duration) *Stream {
	s := &Stream{
		conn: conn, pingAfter: pingAfter, room: make(chan struct{}, 1), idle: make(chan struct{}, 1),
		headers: hpack.NewDecoder(4096, nil), trailer: http.Header{}, framesAtOnce: 1,
		// The protocol lets us send before the SETTINGS of the server have come, within these first values.
		window: firstWindow, common: firstWindow, initial: firstWindow, maxFrame: leastMaxFrame,
	}
	// The operating system takes pieces of memory only for a bare connection. With TLS, each head would become a record of
	// its own.
	if _, bare := conn.(*net.TCPConn); bare {
		s.framesAtOnce = mostFrames
	}
	s.in = bufio.NewReaderSize(alive{s}, readBuffer)
	return s
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

// reason is why nothing more can be written.
func (s *Stream) reason() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

// lost notes err, a failure of reading, and returns why the stream has ended. The failure of a connection that we have closed
// ourselves says nothing: the reason is older.
func (s *Stream) lost(err error) error {
	s.end(err)
	if errors.Is(err, net.ErrClosed) || errors.Is(err, io.ErrClosedPipe) {
		return s.reason()
	}
	return err
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
		if a.s.pingAfter > 0 {
			if err := a.s.conn.SetReadDeadline(time.Now().Add(a.s.pingAfter)); err != nil {
				return 0, err
			}
		}
		n, err := a.s.conn.Read(p)
		switch {
		// Any byte is a sign of life, whatever frame the byte belongs to. The answer to the ping need not be recognized.
		case n > 0 || !errors.Is(err, os.ErrDeadlineExceeded):
			// A response ends with a flag, and never with its connection. A tls.Conn may return io.EOF together with bytes.
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, err
		case pinged:
			return 0, fmt.Errorf("the server has been silent for %v, also after a ping", 2*a.s.pingAfter)
		}
		// The bytes of the ping say nothing: only one ping is under way at a time.
		a.s.post(appendFrame(nil, framePing, 0, 0, make([]byte, 8)...))
	}
}

// wake leaves a token. One token is enough, because the receiver looks at everything again.
func wake(token chan<- struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
