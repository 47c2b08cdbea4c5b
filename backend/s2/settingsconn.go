package s2

import (
	"context"
	"net"
	"net/http/httptrace"
	"sync"
	"time"
)

// A settingsConn knows when the HTTP/2 settings of the server have been read.
//
// Until then, a transport assumes that the server accepts frames of 16 KiB at most, and a transport does not change the
// frame size within the body of a request. An append session is a single request. If its request left before the settings
// came, every batch of the session would travel in up to 64 frames, whatever the server allows.
type settingsConn struct {
	net.Conn
	reads int // calls of Read, all from one goroutine of the transport
	once  sync.Once
	heard chan struct{} // closed when the settings have been read
}

func newSettingsConn(c net.Conn) *settingsConn {
	return &settingsConn{Conn: c, heard: make(chan struct{})}
}

// Read passes the call on. A second call means that the transport has handled the bytes of the first call, and the settings
// are the first bytes a server sends.
func (c *settingsConn) Read(p []byte) (int, error) {
	if c.reads++; c.reads > 1 {
		c.once.Do(func() { close(c.heard) })
	}
	return c.Conn.Read(p)
}

// settingsWait limits the wait for the settings. A server must send them first, before it reads any request, so a server
// without HTTP/2 is the only reason to wait in vain.
const settingsWait = time.Second

// afterSettings makes a request wait for the settings of its connection. conn returns the connection; nil means that
// nothing is known about the settings, and the request does not wait.
func afterSettings(ctx context.Context, conn func() *settingsConn) context.Context {
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
