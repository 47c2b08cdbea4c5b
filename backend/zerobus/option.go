package zerobus

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/headrace/headrace/internal/httpwire"
)

// An Option configures a [Client]. A zero is the default, and a negative value is an error of [New].
type Option func(*config)

type config struct {
	timeout       time.Duration
	refreshBuffer time.Duration
	userAgent     string
	tls           *tls.Config
	http          *http.Client
	headers       HeadersProvider
	dial          func(ctx context.Context, hostport string) (net.Conn, error)
}

// complete checks the options and fills in the defaults.
func complete(opts []Option) (config, error) {
	var c config
	for _, o := range opts {
		if o == nil {
			return c, errNilOption
		}
		o(&c)
	}
	switch {
	case c.timeout < 0:
		return c, fmt.Errorf("Timeout(%v): must not be negative", c.timeout)
	case c.refreshBuffer < 0:
		return c, fmt.Errorf("RefreshBuffer(%v): must not be negative", c.refreshBuffer)
	case !httpwire.Printable(c.userAgent):
		return c, fmt.Errorf("UserAgent(%q): must be printable ASCII", httpwire.Clip(c.userAgent))
	}
	if c.dial == nil {
		c.dial = dialThrough
	}
	if c.timeout == 0 {
		c.timeout = 15 * time.Second
	}
	if c.refreshBuffer == 0 {
		c.refreshBuffer = 5 * time.Minute
	}
	return c, nil
}

var errNilOption = errors.New("an option is nil")

// Timeout bounds each opening of a stream: headers or token, connection and handshake together. A longer opening
// fails with [backend.ErrTransient]. The default is 15 s.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// RefreshBuffer is how long before its end a token is replaced, but never before half of its life. While no replacement can
// be had, the old token is used. The default is 5 minutes.
func RefreshBuffer(d time.Duration) Option { return func(c *config) { c.refreshBuffer = d } }

// Headers makes p provide the headers of streams, instead of OAuth. Nothing is added to the headers.
func Headers(p HeadersProvider) Option { return func(c *config) { c.headers = p } }

// UserAgent names the calling program to the service's operators. The name stands behind the client's own in the user agent,
// and must be printable ASCII.
func UserAgent(name string) Option { return func(c *config) { c.userAgent = name } }

// TLS is used for https, both of the service and of the token endpoint. TLS clones t. The default trusts the system's
// authorities.
func TLS(t *tls.Config) Option { return func(c *config) { c.tls = t.Clone() } }

// HTTP makes token requests use h, with the TLS of h; then [TLS] has no effect on token requests. The default makes a
// connection for each token and honours HTTPS_PROXY, HTTP_PROXY and NO_PROXY.
func HTTP(h *http.Client) Option { return func(c *config) { c.http = h } }

// Dial replaces the function that makes the network connections to the service, without TLS. hostport is the host and the port of
// Endpoint. The default makes a TCP connection, through the proxy of grpc_proxy, HTTPS_PROXY or HTTP_PROXY, except to the hosts of
// NO_PROXY.
func Dial(dial func(ctx context.Context, hostport string) (net.Conn, error)) Option {
	return func(c *config) { c.dial = dial }
}
