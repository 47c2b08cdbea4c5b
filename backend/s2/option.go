package s2

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"time"

	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/internal/backoff"
)

// An Option configures a [Client].
type Option func(*config)

type config struct {
	account, basin string
	timeout        time.Duration
	connect        time.Duration
	retry          backoff.Policy
	logger         *slog.Logger
	wrap           func(http.RoundTripper) http.RoundTripper
	compression    s2s.Codec
	tls            *tls.Config
}

// AccountEndpoint is where account-level calls go: "[scheme://]host[:port][/path]". Without a scheme it is https, but
// http for localhost and loopback addresses; without a path it is /v1. Default https://a.s2.dev/v1, or what
// S2_ACCOUNT_ENDPOINT says for [FromEnvironment].
func AccountEndpoint(url string) Option { return func(c *config) { c.account = url } }

// BasinEndpoint is where basin- and stream-level calls go, written like [AccountEndpoint]. "{basin}" in the host or the
// path stands for the basin's name; without it, one host serves all basins and requests name theirs in the header
// s2-basin. Default https://{basin}.b.s2.dev/v1, or what S2_BASIN_ENDPOINT says for [FromEnvironment].
func BasinEndpoint(url string) Option { return func(c *config) { c.basin = url } }

// RequestTimeout bounds one attempt of a call that is no session; a read that waits gets its wait on top. It also bounds
// how long a session waits for the server's last acks once it takes nothing more. Default 5 s; 0 or less is the default.
func RequestTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// ConnectTimeout bounds the making of a connection, TLS included. Default 3 s; 0 or less is the default.
func ConnectTimeout(d time.Duration) Option { return func(c *config) { c.connect = d } }

// Forever as the number of [Attempts] makes no failure the last one: the context ends the call or the loop.
const Forever = math.MaxInt

// Attempts is how often a management call is tried in all while its failures allow it, and how often in a row a
// [ReadSession] may fail without progress. Default 3; less than 1 counts as 1. Other reads and appends are never tried
// again by the client: that is the producer's and the consumer's work. A server that says that it is about to stop costs
// no attempt: the context bounds how long the client waits for another server.
func Attempts(n int) Option { return func(c *config) { c.retry.Budget = max(n, 1) - 1 } }

// Backoff is how long the client waits before it tries again: about first after one failure, twice as long after each
// further one, and most at the longest, unless the server asks for more. Default 100 ms and 1 s.
func Backoff(first, most time.Duration) Option {
	return func(c *config) { c.retry.Base, c.retry.Max = first, most }
}

// Logger receives a warning for every failure after which the client tries again. Default is to log nothing.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// RoundTripper puts a step of the caller's own before every request: to trace it, to count it, or to give it a header.
// wrap is given the transport that sends, and returns what the client is to use in its place. It is called once for every
// transport: unary calls share one, and so do read sessions; each append session has its own. What it returns must send
// a request once at most, with the request's context, and must not read the bodies of sessions to their end.
func RoundTripper(wrap func(next http.RoundTripper) http.RoundTripper) Option {
	return func(c *config) { c.wrap = wrap }
}

// Zstd compresses what append sessions send, batches of 1 KiB and more, with zstd, and asks the server to do so with what
// is read. Default is no compression.
func Zstd() Option { return func(c *config) { c.compression = s2s.Zstd } }

// Gzip is like [Zstd], with gzip.
func Gzip() Option { return func(c *config) { c.compression = s2s.Gzip } }

// TLS is used for https endpoints. It is cloned. Default is Go's default.
func TLS(t *tls.Config) Option { return func(c *config) { c.tls = t.Clone() } }

// FromEnvironment makes a Client from the variables that S2's tools use: S2_ACCESS_TOKEN, which must be set, and
// S2_ACCOUNT_ENDPOINT and S2_BASIN_ENDPOINT. An empty variable is one that is not set; options win over variables.
func FromEnvironment(opts ...Option) (*Client, error) {
	token := os.Getenv("S2_ACCESS_TOKEN")
	if token == "" {
		return nil, errors.New("s2: S2_ACCESS_TOKEN is not set")
	}
	var env []Option
	if v := os.Getenv("S2_ACCOUNT_ENDPOINT"); v != "" {
		env = append(env, AccountEndpoint(v))
	}
	if v := os.Getenv("S2_BASIN_ENDPOINT"); v != "" {
		env = append(env, BasinEndpoint(v))
	}
	return New(token, append(env, opts...)...)
}

// complete checks the options and fills in the defaults.
func complete(opts []Option) (config, error) {
	c := config{
		account: accountEndpoint,
		basin:   basinEndpoint,
		retry:   backoff.Policy{Base: 100 * time.Millisecond, Max: time.Second, Budget: 2},
		logger:  slog.New(slog.DiscardHandler),
		wrap:    func(next http.RoundTripper) http.RoundTripper { return next },
	}
	for _, o := range opts {
		if o == nil {
			return c, fmt.Errorf("s2: nil option")
		}
		o(&c)
	}
	switch err := c.retry.Check(); {
	case err != nil:
		return c, fmt.Errorf("s2: %w", err)
	case c.logger == nil:
		return c, errors.New("s2: Logger(nil): leave the option out to log nothing")
	case c.wrap == nil:
		return c, errors.New("s2: RoundTripper(nil): leave the option out to send requests as they are")
	}
	if c.timeout <= 0 {
		c.timeout = 5 * time.Second
	}
	if c.connect <= 0 {
		c.connect = 3 * time.Second
	}
	return c, nil
}
