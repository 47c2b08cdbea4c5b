package s2

import (
	"context"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// A settledConn knows when the server's HTTP/2 settings have been read. Until then a transport takes the server for one
// that accepts frames of 16 KiB, and a request's body goes on like that to its end: an append session that began at once
// would send each batch in up to 64 frames, whatever the server offers.
type settledConn struct {
	net.Conn
	reads int // of the transport, in one goroutine
	once  sync.Once
	heard chan struct{}
}

func newSettledConn(c net.Conn) *settledConn {
	return &settledConn{Conn: c, heard: make(chan struct{})}
}

// Read takes the second call for a sign that what came with the first, where settings stand, was looked at.
func (c *settledConn) Read(p []byte) (int, error) {
	if c.reads++; c.reads > 1 {
		c.once.Do(func() { close(c.heard) })
	}
	return c.Conn.Read(p)
}

// settingsWait bounds the wait for settings, which a server sends first, whatever it is asked.
const settingsWait = time.Second

// settled makes a request wait for the settings of the connection that it is about to use, which is what conn returns.
func settled(ctx context.Context, conn func() *settledConn) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		c := conn()
		if c == nil {
			return
		}
		late := time.NewTimer(settingsWait)
		defer late.Stop()
		select {
		case <-c.heard:
		case <-late.C:
		case <-ctx.Done():
		}
	}})
}
