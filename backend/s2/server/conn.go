package server

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
)

// A conn is one connection of a client, as faults need it: a conn can be broken at any moment. It also counts the bytes of the
// HTTP/2 frames that the server writes, so that it can put a GOAWAY frame between two of them.
type conn struct {
	net.Conn
	in       *bufio.Reader  // HTTP/2 reads the head of every frame by itself, which would be a system call each
	handlers sync.WaitGroup // of the requests on the connection; Add is called with the server's gate held
	dropped  atomic.Bool

	mu     sync.Mutex
	h2     bool    // what arrived began with the HTTP/2 preface
	asked  bool    // whether h2 is known
	header [9]byte // of the frame that is being written
	nh     int     // how many bytes of header were written
	left   int     // how many bytes of the frame's payload are still to come
	goaway []byte  // a frame that waits for the next boundary between frames
	cut    bool    // the connection breaks when room is used up
	room   int     // bytes
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	if n > 0 && !c.asked {
		c.mu.Lock()
		c.asked, c.h2 = true, p[0] == 'P' && n > 1 && p[1] == 'R'
		c.mu.Unlock()
	}
	return n, err
}

func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cut {
		if len(p) >= c.room {
			_, _ = c.Conn.Write(p[:c.room])
			_ = c.Conn.Close()
			return 0, net.ErrClosed
		}
		c.room -= len(p)
	}
	if !c.h2 {
		return c.Conn.Write(p)
	}
	if c.goaway == nil {
		c.follow(p)
		return c.Conn.Write(p)
	}
	// We look for the first boundary in p. If p has none, the GOAWAY goes on waiting.
	for i := 0; i <= len(p); i++ {
		if c.left == 0 && c.nh == 0 {
			out := append(append(append(make([]byte, 0, len(p)+len(c.goaway)), p[:i]...), c.goaway...), p[i:]...)
			c.goaway = nil
			c.follow(p[i:])
			if _, err := c.Conn.Write(out); err != nil {
				return 0, err
			}
			return len(p), nil
		}
		if i < len(p) {
			c.follow(p[i : i+1])
		}
	}
	return c.Conn.Write(p)
}

// follow notes where in a frame the connection is behind p. The lock is held.
func (c *conn) follow(p []byte) {
	for len(p) > 0 {
		if c.left > 0 {
			n := min(c.left, len(p))
			c.left -= n
			p = p[n:]
			continue
		}
		n := copy(c.header[c.nh:], p)
		c.nh += n
		p = p[n:]
		if c.nh == len(c.header) {
			c.nh = 0
			c.left = int(c.header[0])<<16 | int(c.header[1])<<8 | int(c.header[2])
		}
	}
}

// sendGoAway tells the client to open no more streams on this connection, and lets the open ones go on. If the server is in the
// middle of a frame, the GOAWAY is sent with the next write.
func (c *conn) sendGoAway() {
	frame := []byte{0, 0, 8, 7, 0, 0, 0, 0, 0}
	frame = binary.BigEndian.AppendUint32(frame, 1<<31-1) // all streams so far were seen
	frame = binary.BigEndian.AppendUint32(frame, 0)       // NO_ERROR
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.h2 {
		return
	}
	if c.left == 0 && c.nh == 0 {
		_, _ = c.Conn.Write(frame) // a broken connection needs no farewell
		return
	}
	c.goaway = frame
}

// cutAfter breaks the connection behind the next n bytes, those of HTTP/2 itself included.
func (c *conn) cutAfter(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut, c.room = true, n
	if n == 0 {
		_ = c.Conn.Close()
	}
}

// drop resets the connection: the client sees a reset, and what was not sent is lost. A request of this connection that is still
// at work sees dropped, and stores nothing more.
func (c *conn) drop() {
	c.dropped.Store(true)
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // best effort: the close below is what matters
	}
	_ = c.Conn.Close()
}

// A listener hands out conns and remembers those that are open.
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
	return &conn{Conn: c, in: bufio.NewReader(c)}, nil
}

func (l *listener) track(c *conn, open bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if open {
		l.conns[c] = struct{}{}
	} else {
		delete(l.conns, c)
	}
}

func (l *listener) open() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]*conn, 0, len(l.conns))
	for c := range l.conns {
		out = append(out, c)
	}
	return out
}
