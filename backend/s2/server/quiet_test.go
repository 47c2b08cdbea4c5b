package server_test

import (
	"context"
	"net"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/backend/s2/server"
)

// quiet is start off the network, for a test in a bubble: the clock of a bubble does not move while something waits for a
// socket.
func quiet(t testing.TB, opts ...s2test.Option) *peer {
	t.Helper()
	c := server.Config{Basins: []server.Basin{{Name: testBasin, AutoCreate: true}}}
	for _, o := range opts {
		o(&c)
	}
	srv, err := server.New(c)
	if err != nil {
		t.Fatal(err)
	}
	pipes := &pipes{calls: make(chan net.Conn), closed: make(chan struct{})}
	srv.StartOn(pipes)
	t.Cleanup(func() {
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	p := newPeer(t, &s2test.Server{Server: srv})
	p.dial = pipes.dial
	return p
}

// pipes is a listener inside the process.
type pipes struct {
	calls  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.calls <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.calls:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { p.once.Do(func() { close(p.closed) }); return nil }
func (p *pipes) Addr() net.Addr { return pipesAddr{} }

type pipesAddr struct{}

func (pipesAddr) Network() string { return "pipe" }
func (pipesAddr) String() string  { return "pipe" }
