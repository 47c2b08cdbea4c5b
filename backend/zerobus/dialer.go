package zerobus

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/headrace/headrace/internal/redact"
)

// proxyBytes bounds a proxy's answer: the headers, and the body of a refusal.
const proxyBytes = 64 << 10

// dialThrough makes a connection. Where there is a proxy, dialThrough asks the proxy for a tunnel with HTTP CONNECT.
func dialThrough(ctx context.Context, hostport string) (net.Conn, error) {
	var d net.Dialer
	proxy, err := proxyFor(hostport, os.Getenv)
	if err != nil {
		return nil, err
	}
	if proxy == nil {
		return d.DialContext(ctx, "tcp", hostport)
	}
	conn, err := d.DialContext(ctx, "tcp", proxy.Host)
	if err != nil {
		return nil, fmt.Errorf("proxy: %w", err)
	}
	// The end of ctx must also end the wait for the proxy's answer. Otherwise a silent proxy would hold up the opening.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	through, err := tunnel(conn, proxy, hostport)
	// If stop returns false, the deadline is set or is about to be set, and the connection would fail at its first
	// use.
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return through, nil
}

// tunnel asks the proxy at the other end of conn for a tunnel. An answer other than 200 is a [ProxyError], because a refusal of
// the proxy says nothing about the service.
func tunnel(conn net.Conn, proxy *url.URL, hostport string) (net.Conn, error) {
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: hostport}, Host: hostport, Header: http.Header{}}
	var hidden redact.Secrets
	if u := proxy.User; u != nil {
		password, _ := u.Password()
		req.SetBasicAuth(u.Username(), password)
		req.Header = http.Header{"Proxy-Authorization": req.Header["Authorization"]}
		hidden = redact.Basic(u.Username(), password)
	}
	if err := req.Write(conn); err != nil {
		return nil, fmt.Errorf("proxy %s: %w", proxy.Host, err)
	}
	// The reader may read more than the answer. These bytes are the first from the service, so prefixed returns them.
	r := bufio.NewReader(io.LimitReader(conn, proxyBytes))
	res, err := http.ReadResponse(r, req) // the body needs no Close: whoever closes conn frees everything
	if err != nil {
		return nil, fmt.Errorf("proxy %s: %w", proxy.Host, hidden.Error(err))
	}
	if res.StatusCode != http.StatusOK {
		return nil, &ProxyError{Proxy: proxy.Host, Status: res.StatusCode}
	}
	if r.Buffered() > 0 {
		return &prefixed{Conn: conn, r: r}, nil
	}
	return conn, nil
}

// A prefixed connection first returns the bytes after the proxy's answer.
type prefixed struct {
	net.Conn
	r *bufio.Reader
}

func (c *prefixed) Read(p []byte) (int, error) {
	if c.r.Buffered() > 0 {
		return c.r.Read(p)
	}
	return c.Conn.Read(p)
}
