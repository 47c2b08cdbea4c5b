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

// AccountEndpoint is the address for account-level calls: "[scheme://]host[:port][/path]". The default scheme is https, but http
// for localhost and loopback addresses. The default path is /v1. The default address is https://a.s2.dev/v1, or
// S2_ACCOUNT_ENDPOINT for [FromEnvironment].
func AccountEndpoint(url string) Option { return func(c *config) { c.account = url } }

// BasinEndpoint is the address for basin- and stream-level calls, written like [AccountEndpoint]. "{basin}" in the host or the
// path stands for the basin's name. Without "{basin}", a single host serves all basins, and requests name the basin in the
// header s2-basin. The default is https://{basin}.b.s2.dev/v1, or S2_BASIN_ENDPOINT for [FromEnvironment].
func BasinEndpoint(url string) Option { return func(c *config) { c.basin = url } }

// RequestTimeout limits each attempt of a call. A read with a wait gets the wait in addition. RequestTimeout also limits how long
// an append session waits for the last acks after it takes nothing more. The default is 5 s; 0 or less is the default.
func RequestTimeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// ConnectTimeout limits the time to make a connection, TLS included. The default is 3 s; 0 or less is the default.
func ConnectTimeout(d time.Duration) Option { return func(c *config) { c.connect = d } }

// Forever as the number of [Attempts] removes the limit: only the context ends the call or the loop.
const Forever = math.MaxInt

// Attempts limits how often a management call is tried in all, and how often in a row a [ReadSession] may fail without progress.
// The default is 3; less than 1 counts as 1. The client makes a single attempt at other reads and appends, because producers
// and consumers try again on their own. The refusal of a server about to stop does not count as an attempt; only the context
// limits how long the client waits for another server.
func Attempts(n int) Option { return func(c *config) { c.retry.Budget = max(n, 1) - 1 } }

// Backoff is the pause before the next attempt: about first after the first failure, and twice as long after each further
// failure, up to most. The pause is longer if the server asks for more. The defaults are 100 ms and 1 s.
func Backoff(first, most time.Duration) Option {
	return func(c *config) { c.retry.Base, c.retry.Max = first, most }
}

// Logger gets a warning for every failure with a further attempt. By default, nothing is logged.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// RoundTripper puts a step of the caller before every request, for example to trace or count requests, or to add a header. wrap
// gets the sending transport, and returns the RoundTripper to use instead. wrap is called for each transport: all unary calls
// share a transport, all read sessions share another, and each append session has its own. The returned RoundTripper must send
// each request at most once, must use the request's context, and must not wait for the end of a session's body.
func RoundTripper(wrap func(next http.RoundTripper) http.RoundTripper) Option {
	return func(c *config) { c.wrap = wrap }
}

// Zstd compresses the batches of append sessions with zstd if a batch has 1 KiB or more, and asks the server to compress answers.
// By default, nothing is compressed.
func Zstd() Option { return func(c *config) { c.compression = s2s.Zstd } }

// Gzip is like [Zstd], with gzip.
func Gzip() Option { return func(c *config) { c.compression = s2s.Gzip } }

// TLS configures https endpoints. The client clones t. The default is Go's default.
func TLS(t *tls.Config) Option { return func(c *config) { c.tls = t.Clone() } }

// FromEnvironment makes a Client from the environment variables of S2's tools. S2_ACCESS_TOKEN is required; S2_ACCOUNT_ENDPOINT
// and S2_BASIN_ENDPOINT are optional. An empty variable counts as absent. Options win over variables.
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
