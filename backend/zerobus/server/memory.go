package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"
)

// Dial connects to an endpoint of a server with [Config.InMemory]. hostport is the host:port of the endpoint's URL.
func (s *Server) Dial(ctx context.Context, hostport string) (net.Conn, error) {
	if s.cfg.pipes == nil {
		return nil, errors.New("zerobus server: dial: the server is not InMemory")
	}
	return s.cfg.pipes.dial(ctx, hostport)
}

// listen makes a listener on the server's network. The port 0 means any free port.
func (c *config) listen(addr string) (net.Listener, error) {
	if c.pipes == nil {
		return net.Listen("tcp", addr)
	}
	return c.pipes.listen(addr)
}

// pipes is a network for one server, inside the process. Its errors are those of the operating system, so that a client
// under test treats the errors as it treats those of a network. A goroutine that waits for a pipe is durably blocked
// for testing/synctest, and a goroutine that waits for a socket is not.
type pipes struct {
	mu   sync.Mutex // not held while a call waits for Accept
	open map[string]*pipeListener
	last int // the last number that a listener or a client's end has got as its port
}

// nameLocked makes an address that no other listener or client has. A transcript names the peer of a stream by its
// address, and a test tells by it which streams share a connection.
func (p *pipes) nameLocked(host string) pipeAddr {
	p.last++
	return pipeAddr(fmt.Sprintf("%s:%d", host, p.last))
}

func (p *pipes) listen(addr string) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := pipeAddr(addr)
	if _, port, _ := net.SplitHostPort(addr); port == "0" {
		at = p.nameLocked("localhost") // the certificate is valid for localhost
	}
	// As on a real network, two listeners on one address are an error, so a mistake in a test shows in memory too.
	if p.open[string(at)] != nil {
		return nil, &net.OpError{Op: "listen", Net: at.Network(), Addr: at, Err: syscall.EADDRINUSE}
	}
	l := &pipeListener{pipes: p, at: at, calls: make(chan net.Conn), done: make(chan struct{})}
	p.open[string(at)] = l
	return l, nil
}

// dial connects to a listener of the network. mu is not held while the call waits, because Close of a listener needs
// mu.
func (p *pipes) dial(ctx context.Context, addr string) (net.Conn, error) {
	p.mu.Lock()
	l, from := p.open[addr], p.nameLocked("client")
	p.mu.Unlock()
	refused := &net.OpError{Op: "dial", Net: from.Network(), Addr: pipeAddr(addr), Err: syscall.ECONNREFUSED}
	if l == nil {
		return nil, refused
	}
	here, there := net.Pipe()
	select {
	case l.calls <- &pipeConn{Conn: there, local: l.at, remote: from}:
		return &pipeConn{Conn: here, local: from, remote: l.at}, nil
	// The listener may close while the client waits. The client then gets the error of a port without a listener.
	case <-l.done:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// A pipeListener hands each call to Accept and keeps no queue: a client waits until the server accepts, so no
// connection is lost when the listener closes.
type pipeListener struct {
	pipes *pipes
	at    pipeAddr
	calls chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.calls:
		return c, nil
	case <-l.done:
		return nil, &net.OpError{Op: "accept", Net: l.at.Network(), Addr: l.at, Err: net.ErrClosed}
	}
}

func (l *pipeListener) Addr() net.Addr { return l.at }

func (l *pipeListener) Close() error {
	l.once.Do(func() {
		l.pipes.mu.Lock()
		delete(l.pipes.open, string(l.at))
		l.pipes.mu.Unlock()
		close(l.done)
	})
	return nil
}

// A pipeConn is a pipe with addresses. Deadlines and closing are those of net.Pipe. A pipe has no buffer: a write waits
// for the reader of the other side, so a test cannot pass only because a kernel has kept some bytes.
type pipeConn struct {
	net.Conn
	local, remote pipeAddr
}

func (c *pipeConn) LocalAddr() net.Addr  { return c.local }
func (c *pipeConn) RemoteAddr() net.Addr { return c.remote }

type pipeAddr string

func (pipeAddr) Network() string  { return "memory" }
func (a pipeAddr) String() string { return string(a) }
