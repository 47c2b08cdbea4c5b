package zerobus

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/misconfig"
	"github.com/headrace/headrace/internal/redact"
)

var errProxy = fmt.Errorf("the proxy of the environment is not http://host[:port]: %w", backend.ErrRejected)

// proxyFor returns the proxy for a host:port by the variables that gRPC clients in other languages honour; nil for none.
// grpc-go itself knows HTTPS_PROXY and NO_PROXY only.
func proxyFor(hostport string, env func(string) string) (*url.URL, error) {
	first := func(names ...string) string {
		for _, n := range names {
			if v := env(n); v != "" {
				return v
			}
		}
		return ""
	}
	s := first("grpc_proxy", "GRPC_PROXY", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY")
	host, _, err := net.SplitHostPort(hostport)
	if s == "" || err != nil || bypassed(host, first("no_grpc_proxy", "NO_GRPC_PROXY", "no_proxy", "NO_PROXY")) {
		return nil, nil
	}
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" || u.Hostname() == "" {
		return nil, errProxy // the text of which may hold a password
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), "80")
	}
	if !validPort(u.Port()) {
		return nil, errProxy
	}
	return u, nil
}

// bypassed reports whether the list has the host, a domain above it, or everything.
func bypassed(host, list string) bool {
	for e := range strings.SplitSeq(list, ",") {
		e = strings.TrimPrefix(strings.TrimSpace(e), ".")
		if e == "*" || e != "" && (strings.EqualFold(host, e) || len(host) > len(e) && strings.EqualFold(host[len(host)-len(e)-1:], "."+e)) {
			return true
		}
	}
	return false
}

// proxyBytes bounds what is read of a proxy's answer: its headers, and what it says to a refusal.
const proxyBytes = 64 << 10

// A dialer makes the connections of one grpc.ClientConn, with an HTTP CONNECT where there is a proxy. It remembers why the
// latest of them could not be made, where another attempt would not help or where the type of the error counts: gRPC keeps
// no more than the text.
type dialer struct {
	refusal atomic.Pointer[error] // nil for none
}

func (d *dialer) dial(ctx context.Context, hostport string) (net.Conn, error) {
	conn, err := dialThrough(ctx, hostport)
	d.note(err)
	return conn, err
}

// note remembers err, or that there is nothing to remember.
func (d *dialer) note(err error) {
	if errors.As(err, new(*ProxyError)) || errors.Is(err, errProxy) || misconfig.Due(err) {
		d.refusal.Store(&err)
	} else {
		d.refusal.Store(nil)
	}
}

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
	// The answer to a CONNECT is read under ctx: a proxy that is silent must not hold up the opening.
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	tunnel, err := connect(conn, proxy, hostport)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return tunnel, nil
}

func connect(conn net.Conn, proxy *url.URL, hostport string) (net.Conn, error) {
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
	r := bufio.NewReader(io.LimitReader(conn, proxyBytes))
	res, err := http.ReadResponse(r, req) // the connection is all there is to close of it
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

// A prefixed connection gives back what came with the proxy's answer.
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
