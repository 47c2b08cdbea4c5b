package durablestreams

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/headrace/headrace/internal/backoff"
	"github.com/headrace/headrace/internal/httpwire"
)

// An Option is an option of [New].
type Option func(*config)

type config struct {
	http      *http.Client
	ownHTTP   bool // http was made by newHTTP
	tls       *tls.Config
	headers   []dynamic
	query     []dynamic
	retry     backoff.Policy // of operations; its budget is set by attempts
	attempts  int
	timeout   time.Duration
	userAgent string
}

// A dynamic is a header or query parameter whose value is asked for before every request, because tokens may rotate.
type dynamic struct {
	name  string
	value func(context.Context) (string, error)
}

// HTTP makes the client use h for all requests, instead of an http.Client and connections of its own. The CheckRedirect and the
// Timeout of h are in force: a Timeout shorter than the server's long-poll (usually 30 s) breaks live reads. Default: a client with its
// own connection pool. The default follows no redirects, because a redirect could send headers with credentials to another server.
func HTTP(h *http.Client) Option { return func(c *config) { c.http = h } }

// TLS is used for an https server. The config is cloned. Default: Go's default. TLS together with [HTTP] is an error, because the
// http.Client has TLS settings of its own.
func TLS(t *tls.Config) Option { return func(c *config) { c.tls = t.Clone() } }

// Header adds a header to every request, also to those of producers and of readers that connect again. value is called before
// each request, from several goroutines, under the context of the operation. An error of value fails the operation, as
// [backend.ErrUnauthorized] unless the error wraps [backend.ErrTransient].
func Header(name string, value func(context.Context) (string, error)) Option {
	return func(c *config) { c.headers = append(c.headers, dynamic{name, value}) }
}

// Query adds a query parameter to every request, as [Header] does with headers. offset, live and cursor are the protocol's
// own and are refused.
func Query(name string, value func(context.Context) (string, error)) Option {
	return func(c *config) { c.query = append(c.query, dynamic{name, value}) }
}

// Static is a fixed value for [Header] and [Query].
func Static(v string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return v, nil }
}

// Attempts is how often an operation is tried in all while its failures allow another try. Appends of producers and reads of
// consumers do not count here: producers and consumers retry by their own rules. Default 5; 0 means the default, a negative number is
// an error.
func Attempts(n int) Option { return func(c *config) { c.attempts = n } }

// Timeout bounds one attempt of an operation, and one append of a producer, from the first byte of the request to the answer.
// Timeout does not bound the requests of readers, because readers wait for data. Default 30 s; 0 means the default, a negative
// duration is an error.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// UserAgent is put behind the name of this client in the User-Agent of every request. The server's operators see there who
// calls. A [Header] with the name User-Agent replaces both. Default: the name of the client alone.
func UserAgent(name string) Option { return func(c *config) { c.userAgent = name } }

var errNilOption = errors.New("an option is nil")

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
	case c.attempts < 0:
		return c, fmt.Errorf("Attempts(%d) is negative", c.attempts)
	case c.timeout < 0:
		return c, fmt.Errorf("Timeout(%v) is negative", c.timeout)
	case c.http != nil && c.tls != nil:
		return c, errors.New("HTTP and TLS are both given: set the TLS of the http.Client")
	case !httpwire.Printable(c.userAgent):
		return c, fmt.Errorf("UserAgent(%.80q): must be printable ASCII", c.userAgent)
	}
	for _, q := range c.query {
		if protocolParameter(q.name) {
			return c, fmt.Errorf("query parameter %q is the protocol's own", q.name)
		}
	}
	for _, h := range c.headers {
		if !httpwire.HeaderName(h.name) {
			return c, fmt.Errorf("%.80q cannot be the name of a header", h.name)
		}
	}
	if c.attempts == 0 {
		c.attempts = 5
	}
	c.retry = backoff.Policy{Base: 100 * time.Millisecond, Max: 10 * time.Second, Budget: c.attempts - 1}
	if c.timeout == 0 {
		c.timeout = 30 * time.Second
	}
	if c.http == nil {
		c.http, c.ownHTTP = newHTTP(c.tls, dataBuffer), true
	}
	return c, nil
}

// protocolParameter reports whether the protocol uses a query parameter of this name itself.
func protocolParameter(name string) bool {
	return name == "offset" || name == "live" || name == "cursor"
}
