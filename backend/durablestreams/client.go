package durablestreams

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/headrace/headrace/internal/backoff"
	"github.com/headrace/headrace/internal/httpwire"
)

// A Client reaches the streams of one server. It may be used from any goroutine.
type Client struct {
	base    *url.URL
	http    *http.Client
	headers []dynamic
	query   []dynamic
	retry   backoff.Policy
}

// A dynamic header or query parameter is asked for before every request, so that tokens may rotate.
type dynamic struct {
	name  string
	value func(context.Context) (string, error)
}

// An Option is an option of [NewClient].
type Option func(*Client)

// HTTP makes the client use h instead of its own. Its CheckRedirect and Timeout are in force: a Timeout that is shorter
// than the server's long-poll (usually 30 s) breaks live reads. Default: a client with a connection pool of its own that
// follows no redirects, so that headers with credentials stay with the server they are meant for.
func HTTP(h *http.Client) Option { return func(c *Client) { c.http = h } }

// Header adds a header to every request, those of producers and reconnecting readers included. value is called before
// each, from several goroutines, under the context of the operation. An error that it returns fails the operation; it
// counts as [backend.ErrUnauthorized] unless it says otherwise.
func Header(name string, value func(context.Context) (string, error)) Option {
	return func(c *Client) { c.headers = append(c.headers, dynamic{name, value}) }
}

// Query adds a query parameter to every request, as [Header] does with headers. offset, live and cursor are the
// protocol's own and cannot be replaced.
func Query(name string, value func(context.Context) (string, error)) Option {
	return func(c *Client) { c.query = append(c.query, dynamic{name, value}) }
}

// Attempts is how often an operation other than those of producers and consumers is tried before its error is returned.
// They try again by themselves, by their own rules. Default 5; less than 1 is refused.
func Attempts(n int) Option { return func(c *Client) { c.retry.Budget = n - 1 } }

// Static is a value for [Header] and [Query] that does not change.
func Static(v string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return v, nil }
}

// NewClient makes a client of the server whose streams have URLs that begin with base, such as
// "http://127.0.0.1:4437/v1/stream". It does no I/O.
func NewClient(base string, opts ...Option) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("durablestreams: the base URL cannot be parsed") // the cause quotes it, userinfo included
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("durablestreams: the base URL must be http or https, with a host and without query and fragment")
	}
	if u.Path == "" {
		u.Path = "/" // or names would be joined to nothing and make a relative path
	}
	c := &Client{base: u, retry: backoff.Policy{Base: 100 * time.Millisecond, Max: 10 * time.Second, Budget: 4}}
	for _, o := range opts {
		o(c)
	}
	if c.http == nil {
		c.http = newHTTP()
	}
	if err := c.retry.Check(); err != nil {
		return nil, fmt.Errorf("durablestreams: %w", err)
	}
	for _, q := range c.query {
		if protocolParameter(q.name) {
			return nil, fmt.Errorf("durablestreams: query parameter %q is the protocol's own", q.name)
		}
	}
	for _, h := range c.headers {
		if !httpwire.HeaderName(h.name) {
			return nil, fmt.Errorf("durablestreams: %q is no name of a header", h.name)
		}
	}
	return c, nil
}

func protocolParameter(name string) bool {
	return name == "offset" || name == "live" || name == "cursor"
}

// newHTTP keeps connections for as many batches in flight as anybody will want, or each burst would dial anew.
func newHTTP() *http.Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            dialer.DialContext,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    64,
			IdleConnTimeout:        90 * time.Second,
			TLSHandshakeTimeout:    10 * time.Second,
			ResponseHeaderTimeout:  2 * time.Minute, // a long-poll has answered by then: 30 s is what servers wait
			DisableCompression:     true,
			MaxResponseHeaderBytes: maxHeader,
			WriteBufferSize:        64 << 10,
			ReadBufferSize:         64 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// CloseIdleConnections closes the pooled connections that are not in use.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

// Stream names a stream below the client's base URL. name is a path, not encoded: "orders", "eu/orders". It does no I/O
// and makes no stream: see [Stream.Create]. With "." or ".." between its slashes a name would lead out of the base URL, in
// whatever way it is encoded, and with nothing between them to the stream of another name: every operation on it is refused
// with [backend.ErrRejected].
func (c *Client) Stream(name string, opts ...StreamOption) *Stream {
	s := &Stream{client: c, name: name, url: c.base.JoinPath(escape(name)), config: streamDefaults()}
	return s.With(opts...)
}

// escape keeps "/" and encodes what JoinPath would otherwise interpret.
func escape(name string) string {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/")
}
