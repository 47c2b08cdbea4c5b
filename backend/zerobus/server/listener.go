package server

import (
	"maps"
	"net"
	"slices"
	"sync"
)

// A listener keeps its open connections, so that faults can cut them. A stream knows only the address of its peer: gRPC
// does not tell a handler on which connection its RPC arrived.
//
// The locks of a listener and of its connections are never held together. find and drop release the lock of the listener
// before they touch a connection, because the Close of a connection takes the lock of the listener.
type listener struct {
	net.Listener
	log  *transcripts
	mu   sync.Mutex       // guards open
	open map[string]*conn // by the peer's address
}

func (l *listener) Accept() (net.Conn, error) {
	raw, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	// The connection is in the map before gRPC gets the connection. Otherwise a fault that strikes the first stream might
	// not find the connection, and Drop would cut nothing.
	c := &conn{Conn: raw, l: l}
	l.mu.Lock()
	l.open[c.RemoteAddr().String()] = c
	l.mu.Unlock()
	l.log.connected()
	return c, nil
}

// find returns the connection of a peer, or nil.
func (l *listener) find(peer string) *conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[peer]
}

// cut resets the connection of a peer. Other streams on the same connection break too, as they do when a network fails.
func (l *listener) cut(peer string) {
	if c := l.find(peer); c != nil {
		c.reset()
	}
}

// cutAfter breaks the connection of a peer after the given number of further bytes. A message can therefore arrive in part,
// which no fault above the connection can cause.
func (l *listener) cutAfter(peer string, bytes int) {
	if c := l.find(peer); c != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.cut, c.room = true, bytes
	}
}

func (l *listener) drop() {
	l.mu.Lock()
	// We take a copy, because gRPC closes the connections that we reset, and Close takes the lock and changes the map.
	all := slices.Collect(maps.Values(l.open))
	l.mu.Unlock()
	for _, c := range all {
		c.reset()
	}
}

// A conn is a connection that a fault can cut. Close removes the conn from its listener. Otherwise a server that runs for days
// would keep every connection that it has ever had.
type conn struct {
	net.Conn
	l    *listener
	once sync.Once

	mu   sync.Mutex // guards the fields below
	cut  bool       // the connection ends when room is used up
	room int        // bytes
}

// Write implements [net.Conn]. The lock is not held while the bytes are written: a client that does not read would otherwise
// hold up cutAfter.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	// The write that uses up the room is cut short. The client gets the first bytes of a frame and never the rest.
	over := c.cut && len(p) >= c.room
	if over {
		p = p[:c.room]
	}
	// Before a cut, room has no meaning: cutAfter sets room anew.
	c.room -= len(p)
	c.mu.Unlock()
	n, err := c.Conn.Write(p)
	if over {
		_ = c.Conn.Close() // with a FIN and not a reset, so that the client receives the bytes before the cut
		return n, net.ErrClosed
	}
	return n, err
}

// reset breaks the connection without a FIN or a GOAWAY. Bytes that were not sent are lost.
func (c *conn) reset() {
	if t, ok := c.Conn.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // without linger, Close sends a reset; other kinds of connections are closed normally
	}
	_ = c.Conn.Close() // an error means only that the connection is closed already
}

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.once.Do(func() {
		c.l.mu.Lock()
		// once guards against a second Close: the address may belong to a new connection by then.
		delete(c.l.open, c.RemoteAddr().String())
		c.l.mu.Unlock()
	})
	return c.Conn.Close()
}
