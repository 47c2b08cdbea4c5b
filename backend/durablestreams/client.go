package durablestreams

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A Client reaches the streams of one server. Any goroutine may call its methods.
type Client struct {
	base     *url.URL
	config   config
	agent    string
	noAnswer error        // the cause when a request took longer than the timeout
	links    *links       // nil where appends go through net/http
	waiting  *http.Client // for requests of readers that wait for records
}

// New makes a client of a server. The URLs of the server's streams begin with base, for example
// "http://127.0.0.1:4437/v1/stream". New does no I/O. A wrong base URL, a nil option and a wrong value of an option are errors.
func New(base string, opts ...Option) (*Client, error) {
	u, err := parseBase(base)
	if err != nil {
		return nil, fmt.Errorf("durablestreams: %w", err)
	}
	cfg, err := complete(opts)
	if err != nil {
		return nil, fmt.Errorf("durablestreams: %w", err)
	}
	c := &Client{base: u, config: cfg, agent: strings.TrimSpace("headrace " + cfg.userAgent), waiting: cfg.http}
	if cfg.ownHTTP {
		c.waiting = newHTTP(cfg.tls, waitingBuffer)
	}
	if cfg.ownHTTP && linksReach(u) {
		c.links = new(links)
	}
	c.noAnswer = fmt.Errorf("no answer within %v: %w", cfg.timeout, context.DeadlineExceeded)
	return c, nil
}

// parseBase checks a base URL. The errors do not quote the URL, because a URL may hold a password.
func parseBase(base string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("the base URL cannot be parsed")
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("the base URL must be http or https, with a host and without query and fragment")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, errors.New("the port of the base URL must be 1 to 65535")
		}
	}
	if u.Path == "" {
		u.Path = "/" // otherwise names would be joined to nothing and make a relative path
	}
	return u, nil
}

const handshakeTimeout = 10 * time.Second

func newDialer() *net.Dialer {
	return &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
}

// The sizes of the two buffers of a connection. Each waiting reader has a connection over HTTP/1.1, and a process may have thousands
// of them: with buffers for much data, an idle consumer would take 125 KiB more. Small buffers cost a reader at the tail nothing
// that can be measured, because a request that waits is short, and a large answer is read past the buffer.
const (
	dataBuffer    = 64 << 10
	waitingBuffer = 2 << 10
)

// newHTTP makes an http.Client of the client's own. buffer is the size of the two buffers of a connection.
func newHTTP(t *tls.Config, buffer int) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            newDialer().DialContext,
			TLSClientConfig:        t,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    mostIdle,
			IdleConnTimeout:        idleTimeout,
			TLSHandshakeTimeout:    handshakeTimeout,
			ResponseHeaderTimeout:  2 * time.Minute, // servers answer a long-poll after 30 s
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
			WriteBufferSize:        buffer,
			ReadBufferSize:         buffer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// attempt bounds one attempt of an operation.
func (c *Client) attempt(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, c.config.timeout, c.noAnswer)
}

// Close closes the idle connections. Open sessions and readers go on until each is closed. Close always returns nil.
func (c *Client) Close() error {
	c.config.http.CloseIdleConnections()
	c.waiting.CloseIdleConnections()
	if c.links != nil {
		c.links.close()
	}
	return nil
}

// String names the server. The path and the user of the base URL may be secret and are left out.
func (c *Client) String() string { return "durablestreams:" + c.base.Scheme + "://" + c.base.Host }

// GoString is String: %#v prints no credentials.
func (c *Client) GoString() string { return c.String() }

// LogValue is String: logs hold no credentials.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Stream names a stream below the client's base URL. name is a path, not encoded: "orders", "eu/orders". Stream does no I/O
// and makes no stream: see [Stream.Create].
//
// A name with "." or ".." between its slashes would lead out of the base URL, encoded or not. A name with nothing between two
// slashes would lead to the stream of another name. Every operation on either is refused with [backend.ErrRejected].
func (c *Client) Stream(name string, opts ...StreamOption) *Stream {
	s := &Stream{client: c, name: name, url: c.base.JoinPath(escape(name)), config: streamDefaults()}
	return s.With(opts...)
}

// escape keeps "/" and encodes every other character with a meaning for JoinPath.
func escape(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
