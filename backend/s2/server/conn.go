package server

import (
	"bufio"
	"context"
	"encoding/binary"
	"net"
	"sync"
	"sync/atomic"
)

// A conn is one connection of a client. It can be broken, and it follows the frames that the server writes closely
// enough to put a GOAWAY between two of them.
type conn struct {
	net.Conn
	in       *bufio.Reader  // HTTP/2 reads every frame's head by itself, of Conn in a system call each
	handlers sync.WaitGroup // of the requests on it; the server's gate guards its beginnings
	dropped  atomic.Bool

	mu     sync.Mutex
	h2     bool // what arrived began with the HTTP/2 preface
	asked  bool // whether h2 is known
	header [9]byte
	nh     int    // bytes of header seen
	left   int    // payload bytes of the current frame still to come
	goaway []byte // waits for the next boundary
	cut    bool   // break when so many more bytes were written:
	room   int
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
	// Find the first boundary in p; if there is none the GOAWAY waits on.
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

// follow keeps track of where in a frame the connection is. The lock is held.
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

// sendGoAway tells the client to open no more streams here, and lets those that are open go on. It may take until the
// server writes next.
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

// drop breaks the connection the hard way: the client sees a reset, and what was not sent is lost.
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
