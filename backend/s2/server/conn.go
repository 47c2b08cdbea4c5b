package server

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
)

// A conn is one connection of a client. Faults can break a conn at any moment, and can make a conn send a GOAWAY frame.
// net/http can do neither at a chosen moment. A conn follows the HTTP/2 frames of the server, to place the GOAWAY
// between two frames. A GOAWAY inside a frame would destroy the frame.
type conn struct {
	net.Conn
	in       *bufio.Reader  // HTTP/2 reads the 9-byte head of every frame alone; without a buffer each head would cost a system call
	handlers sync.WaitGroup // counts the requests on the connection; Add is called with the server's gate held
	dropped  atomic.Bool    // no request of this connection may store anything any more

	mu            sync.Mutex
	h2            bool    // the client speaks HTTP/2: its first bytes were the HTTP/2 preface
	protocolKnown bool    // h2 is decided
	header        [9]byte // the head of the frame that is being written
	headerBytes   int     // how many bytes of header were written
	payloadLeft   int     // how many bytes of the frame's payload are still to be written
	goaway        []byte  // a frame that waits for the next boundary between two frames
	cutting       bool    // the connection breaks when bytesLeft is used up
	bytesLeft     int
}

// connKey is the key of the conn in the context of a request. net/http gives a handler no other way to its connection.
type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// Read also finds out which protocol the client speaks. net/http decides the same, but tells nobody.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	// Only the goroutine of the connection reads, so protocolKnown needs no lock here. h2 does, because Write runs in
	// other goroutines.
	if n > 0 && !c.protocolKnown {
		// The preface of HTTP/2 begins with "PRI". No method of HTTP/1.1 that we serve begins with "PR".
		c.mu.Lock()
		c.protocolKnown, c.h2 = true, p[0] == 'P' && n > 1 && p[1] == 'R'
		c.mu.Unlock()
	}
	return n, err
}

// Write writes p. If a fault has chosen a byte for the end of the connection, Write breaks the connection there. Write
// inserts a waiting GOAWAY at a boundary of frames. mu is held while the bytes are written, so that no GOAWAY comes
// between two parts of one frame. drop needs no lock, and therefore ends also a Write that waits for a client that does
// not read.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// The client must receive exactly bytesLeft more bytes, and some of them may be in p.
	if c.cutting {
		// The close is a FIN and not a reset: the client must still receive the bytes in front of the cut. A reset
		// could destroy bytes in the buffers of the system, and the cut would be somewhere else in each run of a test.
		if len(p) >= c.bytesLeft {
			_, _ = c.Conn.Write(p[:c.bytesLeft])
			_ = c.Conn.Close()
			return 0, net.ErrClosed
		}
		c.bytesLeft -= len(p)
	}
	// HTTP/1.1 has no frames, and so no GOAWAY waits.
	if !c.h2 {
		return c.Conn.Write(p)
	}
	if c.goaway == nil {
		// A GOAWAY may be asked for at any moment, so the conn follows every frame, also while no GOAWAY waits.
		c.followLocked(p)
		return c.Conn.Write(p)
	}
	// We look for the first boundary between two frames in p. If p has no boundary, the GOAWAY waits for the next
	// write. A GOAWAY inside a frame would destroy the frame.
	for i := 0; i <= len(p); i++ {
		if c.payloadLeft == 0 && c.headerBytes == 0 {
			// A single write: no other bytes can come between the frames.
			out := append(append(append(make([]byte, 0, len(p)+len(c.goaway)), p[:i]...), c.goaway...), p[i:]...)
			c.goaway = nil
			c.followLocked(p[i:])
			if _, err := c.Conn.Write(out); err != nil {
				return 0, err
			}
			return len(p), nil
		}
		// Byte by byte is slow, but a GOAWAY is rare, and most writes begin at a boundary.
		if i < len(p) {
			c.followLocked(p[i : i+1])
		}
	}
	return c.Conn.Write(p)
}

// followLocked follows the frames in p, so that the conn knows where in a frame the connection is behind p. c.mu is
// held.
func (c *conn) followLocked(p []byte) {
	for len(p) > 0 {
		if c.payloadLeft > 0 {
			n := min(c.payloadLeft, len(p))
			c.payloadLeft -= n
			p = p[n:]
			continue
		}
		// A write may end inside a head, so the head is collected over several writes.
		n := copy(c.header[c.headerBytes:], p)
		c.headerBytes += n
		p = p[n:]
		if c.headerBytes == len(c.header) {
			// Only the length matters here: the first 3 bytes of the head, big-endian, without the 9 bytes of the head
			// itself.
			c.headerBytes = 0
			c.payloadLeft = int(c.header[0])<<16 | int(c.header[1])<<8 | int(c.header[2])
		}
	}
}

// sendGoAway tells the client to open no more streams on this connection. Streams that are open go on. If the server is
// in the middle of a frame, the GOAWAY is sent with a later write. S2 sends a GOAWAY before a server goes away, and a
// client must then open its next session on another connection, while the sessions that are open run to their end.
func (c *conn) sendGoAway() {
	frame := []byte{0, 0, 8, 7, 0, 0, 0, 0, 0}
	frame = binary.BigEndian.AppendUint32(frame, 1<<31-1) // the last stream id: all streams so far were seen and are served
	frame = binary.BigEndian.AppendUint32(frame, 0)       // NO_ERROR
	c.mu.Lock()
	defer c.mu.Unlock()
	// An HTTP/1.1 client has no GOAWAY to understand.
	if !c.h2 {
		return
	}
	if c.payloadLeft == 0 && c.headerBytes == 0 {
		_, _ = c.Conn.Write(frame) // an error means that the connection is broken already
		return
	}
	c.goaway = frame
}

// cutAfter breaks the connection after n more bytes. The bytes of HTTP/2 itself count too. A cut inside a frame of a
// session is the only way to show a client an end of the answer that is not on a boundary of frames. A client that
// takes such an end for a clean one has lost records.
func (c *conn) cutAfter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cutting, c.bytesLeft = true, n
	// Write compares only when something is written, and perhaps nothing more is written.
	if n == 0 {
		_ = c.Conn.Close()
	}
}

// drop resets the connection: the client sees a reset, and bytes not sent yet are lost. A request still at work on this
// connection sees dropped, and stores nothing more.
func (c *conn) drop() {
	// The mark comes before the close: takeInputs may hold frames that were read before, and looks at the mark before
	// it stores them.
	c.dropped.Store(true)
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // makes the close a reset; if it fails, the close below still ends the connection
	}
	_ = c.Conn.Close()
}

// A listener accepts connections as conns, and remembers the open conns. net/http knows the connections too, but does
// not show them, and DropConnections needs them.
type listener struct {
	net.Listener
	mu    sync.Mutex
	conns map[*conn]struct{}
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	// net/http gets the conn and not the TCP connection, so every byte of both directions passes through Read and Write
	// above.
	return &conn{Conn: c, in: bufio.NewReader(c)}, nil
}

func (l *listener) track(c *conn, open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if open {
		// net/http also reports other states of a connection that we know already; setting it again changes nothing.
		l.conns[c] = struct{}{}
	} else {
		delete(l.conns, c)
	}
}

// open returns a copy, because a connection that is dropped ends at once, and track then changes the map.
func (l *listener) open() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		out = append(out, c)
	}
	return out
}
