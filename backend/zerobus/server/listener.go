package server

import (
	"errors"
	"maps"
	"net"
	"slices"
	"sync"
	"time"
)

// accept gives each connection of the port to the gRPC server that runs, until the port is closed.
//
// The port stays open over a Restart. If it were closed and opened again, another process could take its number in
// between, and the clients would talk to that process. While no gRPC server runs, accept resets the connections: a
// client sees "connection reset by peer" before the server has said anything, and no request can have been stored.
func (s *Server) accept(port net.Listener) {
	for {
		c, err := port.Accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		// The process has too many open files, for example. The pause keeps the loop from using a whole core meanwhile.
		case err != nil:
			time.Sleep(10 * time.Millisecond)
		default:
			if _, l := s.serving(); !l.take(c) {
				reset(c)
			}
		}
	}
}

// A listener is the listener of one gRPC server. Its connections come from accept. The listener remembers the open
// connections for the faults.
//
// The locks of a listener and of its connections are never held together. drop releases the lock of the listener before
// it touches a connection, because the Close of a connection takes the lock of the listener.
type listener struct {
	log    *transcripts
	addr   net.Addr
	calls  chan net.Conn // from accept
	closed chan struct{}
	close  sync.Once

	mu   sync.Mutex // guards open
	open map[*conn]struct{}
}

func newListener(addr net.Addr, log *transcripts) *listener {
	return &listener{log: log, addr: addr, calls: make(chan net.Conn), closed: make(chan struct{}), open: map[*conn]struct{}{}}
}

// take gives c to the gRPC server. It returns false if the gRPC server accepts no connections any more. It waits for
// gRPC's next Accept, which comes at once, because gRPC handles each connection in a goroutine of its own.
func (l *listener) take(c net.Conn) bool {
	select {
	case l.calls <- c:
		return true
	case <-l.closed:
		return false
	}
}

// Accept implements [net.Listener].
func (l *listener) Accept() (net.Conn, error) {
	select {
	case raw := <-l.calls:
		// The connection is in the map before gRPC gets the connection. Otherwise DropConnections might miss the
		// connection of a stream, and would wait for the end of the stream for ever.
		c := &conn{Conn: raw, l: l}
		l.mu.Lock()
		l.open[c] = struct{}{}
		l.mu.Unlock()
		l.log.connected()
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close implements [net.Listener]. It leaves the port open: see accept.
func (l *listener) Close() error {
	l.close.Do(func() { close(l.closed) })
	return nil
}

// Addr implements [net.Listener].
func (l *listener) Addr() net.Addr { return l.addr }

// drop resets all connections, also those on which no stream is open: a client with an idle connection must notice a
// network that fails.
func (l *listener) drop() {
	l.mu.Lock()
	// We take a copy, because gRPC closes the connections that we reset, and Close takes the lock and changes the map.
	all := slices.Collect(maps.Keys(l.open))
	l.mu.Unlock()
	for _, c := range all {
		reset(c.Conn)
	}
}

// A conn is a connection that a fault can cut. Close removes the conn from its listener. Otherwise a server that runs
// for days would keep all its connections of all days.
type conn struct {
	net.Conn
	l *listener

	mu   sync.Mutex // guards the fields below
	cut  bool       // the connection ends when room is used up
	room int        // bytes
}

// A peerAddr is the address of a client, and knows the connection of this client. gRPC does not tell a handler on which
// connection its RPC arrived, but it does tell the address of the peer. To find the connection by the text of the
// address would be wrong: as soon as a connection is cut, another connection may have the same port of the client, and
// a fault would strike a stranger.
type peerAddr struct {
	net.Addr
	conn *conn
}

// RemoteAddr implements [net.Conn].
func (c *conn) RemoteAddr() net.Addr { return peerAddr{c.Conn.RemoteAddr(), c} }

// cutAfter breaks the connection after the given number of further bytes. A message can therefore arrive in part, which
// no fault above the connection can cause.
func (c *conn) cutAfter(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut, c.room = true, bytes
}

// Write implements [net.Conn]. The lock is not held while the bytes are written: a client that does not read would
// otherwise hold up cutAfter.
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

// Close implements [net.Conn].
func (c *conn) Close() error {
	c.l.mu.Lock()
	delete(c.l.open, c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}

// reset breaks a connection without a FIN or a GOAWAY. Bytes that were not sent are lost. Other streams on the same
// connection break too, as they do when a network fails.
func reset(c net.Conn) {
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // without linger, Close sends a reset; other kinds of connections are closed normally
	}
	_ = c.Close() // an error means only that the connection is closed already
}
