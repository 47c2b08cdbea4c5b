package zerobus

import (
	"crypto/tls"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// The limits for a message and for the headers from the server, which sends little.
const (
	responseBytes = 64 << 10
	headerBytes   = 64 << 10
)

// A link is a connection to the service. gRPC makes the connection when the first stream begins.
type link struct {
	*grpc.ClientConn
	dialer *dialer
}

func (c *Client) newLink() (*link, error) {
	d := &dialer{}
	conn, err := grpc.NewClient(c.place.endpoint.target, c.dialOptions(d)...) // no I/O yet
	return &link{ClientConn: conn, dialer: d}, err
}

// dialOptions are for a link. We switch off all retries of gRPC, because retries and their backoff are the producer's work.
func (c *Client) dialOptions(d *dialer) []grpc.DialOption {
	agent := "headrace-zerobus"
	if c.cfg.userAgent != "" {
		agent += " " + c.cfg.userAgent
	}
	ep := c.place.endpoint
	secure := insecure.NewCredentials()
	if !ep.plaintext {
		t := c.cfg.tls
		if t == nil {
			t = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		secure = credentials.NewTLS(t.Clone())
	}
	opts := []grpc.DialOption{
		grpc.WithTransportCredentials(&handshake{TransportCredentials: secure, dialer: d, plaintext: ep.plaintext}),
		grpc.WithUserAgent(agent),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithIdleTimeout(0), // a quiet stream is not an idle connection
		grpc.WithMaxHeaderListSize(headerBytes),
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}), grpc.MaxCallRecvMsgSize(responseBytes), grpc.MaxCallSendMsgSize(1<<31-1)),
	}
	if ep.host != "" {
		opts = append(opts, grpc.WithContextDialer(d.dial))
	}
	// The caller's options come last, because the last option of a kind wins.
	return append(opts, c.cfg.dial...)
}

// writeBuffer is how much goes to the connection at once while a stream has enough to send. With gRPC's default of 32 KiB, a
// batch of 100 KiB takes four calls of the operating system instead of one.
const writeBuffer = 128 << 10

// connections counts the streams on the shared connection of a Client, and on failed connections that still have streams. The
// last stream closes its connection.
type connections struct {
	mu    sync.Mutex
	conn  *link         // for new streams
	users map[*link]int // how many streams a connection has

	closed bool // the Client opens nothing more
}

// close makes later openings fail. Open streams keep their connections, because their producers still drain.
func (c *connections) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
}

func (c *connections) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// connect returns a connection for a stream, and a function that gives the connection back.
func (c *Client) connect() (conn *link, release func(), err error) {
	if !c.cfg.connectionPerStream {
		return c.shared.lease(c.newLink)
	}
	if conn, err = c.newLink(); err != nil {
		return nil, nil, err
	}
	return conn, func() { _ = conn.Close() }, nil
}

// lease returns the shared connection. If the connection is missing or has failed, lease makes another: gRPC's own backoff is
// up to two minutes long, and would use up the producer's attempts. Streams that are still open on the failed connection keep
// the failed connection, and the last of them closes it.
func (c *connections) lease(dial func() (*link, error)) (conn *link, release func(), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == nil || c.conn.GetState() == connectivity.TransientFailure {
		if conn, err = dial(); err != nil {
			return nil, nil, err
		}
		c.conn = conn
	}
	conn = c.conn
	if c.users == nil {
		c.users = map[*link]int{}
	}
	c.users[conn]++
	return conn, func() { c.release(conn) }, nil
}

// release gives a connection back after a stream. The connection is closed outside of the lock: Close waits for goroutines of
// gRPC, and other streams must not wait for them.
func (c *connections) release(conn *link) {
	c.mu.Lock()
	c.users[conn]--
	last := c.users[conn] == 0
	if last {
		delete(c.users, conn)
		// The next stream makes a new connection. Without this, the next stream would get the connection that is
		// closed below.
		if c.conn == conn {
			c.conn = nil
		}
	}
	c.mu.Unlock()
	if last {
		_ = conn.Close()
	}
}

// distrust makes the next stream use another connection than conn. A stream could not be opened on conn: conn may be dead
// without having noticed.
func (c *connections) distrust(conn *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn == conn {
		c.conn = nil
	}
}
