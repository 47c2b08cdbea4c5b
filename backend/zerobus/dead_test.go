package zerobus_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/producer"
)

// A stuck connection takes no more bytes from some moment on, like a connection whose peer has vanished.
type stuck struct {
	net.Conn
	is   *atomic.Bool
	gone chan struct{}
	once sync.Once
}

func (c *stuck) Write(p []byte) (int, error) {
	if c.is.Load() {
		<-c.gone
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

func (c *stuck) Close() error {
	c.once.Do(func() { close(c.gone) })
	return c.Conn.Close()
}

// A vanished peer costs AckTimeout, and then half a second for the end of the stream. Two calls of Close at once, as a producer
// makes them, wait together.
func TestADeadConnectionIsLetGoOf(t *testing.T) {
	const goodbye = 500 * time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		var is atomic.Bool
		first := true
		dial := func(ctx context.Context, hostport string) (net.Conn, error) {
			c, err := srv.Dial(ctx, hostport)
			if err != nil || !first {
				return c, err
			}
			first = false
			return &stuck{Conn: c, is: &is, gone: make(chan struct{})}, nil
		}
		p := produce(t, sinkOf(srv, zerobus.Dial(dial)), producer.AckTimeout(10*time.Second))
		if err := p.Send(t.Context(), row{0}); err != nil {
			t.Fatal(err)
		}
		is.Store(true)
		began := time.Now()
		if err := p.Send(t.Context(), row{1}); err != nil {
			t.Fatal(err)
		}
		within(t, began, 10*time.Second+goodbye+pauseLeast, 10*time.Second+goodbye+pauseMost)
	})
}

// The caller of Send waits no longer than its context, also if the network takes no byte.
func TestASendOverADeadConnectionEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		var is atomic.Bool
		dial := func(ctx context.Context, hostport string) (net.Conn, error) {
			c, err := srv.Dial(ctx, hostport)
			return &stuck{Conn: c, is: &is, gone: make(chan struct{})}, err
		}
		s := open(t, sinkOf(srv, zerobus.Dial(dial)))
		is.Store(true)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		began := time.Now()
		err := s.Send(ctx, 0, records("{}"))
		wantIs(t, err, backend.ErrTransient)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the end of the context", err)
		}
		within(t, began, 10*time.Second, 12*time.Second)
		_, err = reason(t, s)
		wantIs(t, err, backend.ErrTransient)
	})
}
