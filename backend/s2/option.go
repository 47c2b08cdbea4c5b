package s2

import (
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"time"

	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/internal/backoff"
	"github.com/headrace/headrace/internal/httpwire"
)

// An Option configures a [Client]. A zero is the default. A negative value and a nil option are errors of [New].
type Option func(*config)

type config struct {
	timeout     time.Duration
	connect     time.Duration
	attempts    int
	retry       backoff.Policy
	logger      *slog.Logger
	wrap        func(http.RoundTripper) http.RoundTripper
	wrapped     bool // wrap is the caller's
	compression s2s.Codec
	tls         *tls.Config
	userAgent   string
	shortSleep  time.Duration // see tailReader
}

// Timeout limits each attempt of a call. A read with a wait gets the wait in addition. Timeout also limits how long an append
// session waits for the last acks after it takes nothing more. The default is 5 s.
func Timeout(d time.Duration) Option { return func(c *config) { c.timeout = d } }

// ConnectTimeout limits the time to make a connection, TLS included. The default is 3 s.
func ConnectTimeout(d time.Duration) Option { return func(c *config) { c.connect = d } }

// Forever as the number of [Attempts] removes the limit: only the context ends the call or the loop.
const Forever = math.MaxInt

// Attempts limits how often a management call is tried in all, and how often in a row a [ReadSession] may fail without progress.
// The default is 3. The client makes a single attempt at other reads and at appends, because producers and consumers try again on
// their own. The refusal of a server about to stop does not count as an attempt; only the context limits how long the client waits
// for another server.
func Attempts(n int) Option { return func(c *config) { c.attempts = n } }

// Backoff is the pause before the next attempt: about first after the first failure, and twice as long after each further
// failure, up to most. The pause is longer if the server asks for more. The defaults are 100 ms and 1 s; 0 and 0 are no pause.
func Backoff(first, most time.Duration) Option {
	return func(c *config) { c.retry.Base, c.retry.Max = first, most }
}

// Logger gets a warning for every failure with a further attempt. By default, nothing is logged.
func Logger(l *slog.Logger) Option { return func(c *config) { c.logger = l } }

// RoundTripper puts a step of the caller before every request, for example to trace or count requests, or to add a header. wrap
// gets the sending transport, and returns the RoundTripper to use instead. wrap is called for each transport: all unary calls
// share a transport, all read sessions share another, and all append sessions a third. The returned RoundTripper must send each
// request at most once, must use the request's context, and must not wait for the end of a session's body. The request of an append
// session has no Body: the batches go to the connection behind the RoundTripper. With a RoundTripper, each consumer keeps a read
// session and a goroutine also while it waits for a record.
func RoundTripper(wrap func(next http.RoundTripper) http.RoundTripper) Option {
	return func(c *config) { c.wrap, c.wrapped = wrap, true }
}

// Zstd compresses the batches of append sessions with zstd if a batch has 1 KiB or more, and asks the server to compress answers.
// By default, nothing is compressed.
func Zstd() Option { return func(c *config) { c.compression = s2s.Zstd } }

// Gzip is like [Zstd], with gzip.
func Gzip() Option { return func(c *config) { c.compression = s2s.Gzip } }

// UserAgent is put behind the name of this client in the User-Agent of every request, so that the server's operators can tell who
// calls. The value must be printable ASCII. The default is the name of the client alone.
func UserAgent(name string) Option { return func(c *config) { c.userAgent = name } }

// TLS configures https endpoints. The client clones t. The default is Go's default.
func TLS(t *tls.Config) Option { return func(c *config) { c.tls = t.Clone() } }

// complete checks the options and fills in the defaults.
func complete(opts []Option) (config, error) {
	c := config{
		shortSleep: time.Minute,
		retry:      backoff.Policy{Base: 100 * time.Millisecond, Max: time.Second},
		logger:     slog.New(slog.DiscardHandler),
		wrap:       func(next http.RoundTripper) http.RoundTripper { return next },
	}
	for _, o := range opts {
		if o == nil {
			return c, errNilOption
		}
		o(&c)
	}
	switch {
	case c.timeout < 0:
		return c, fmt.Errorf("Timeout(%v): must not be negative", c.timeout)
	case c.connect < 0:
		return c, fmt.Errorf("ConnectTimeout(%v): must not be negative", c.connect)
	case c.attempts < 0:
		return c, fmt.Errorf("Attempts(%d): must not be negative", c.attempts)
	case c.logger == nil:
		return c, errors.New("Logger(nil): leave the option out to log nothing")
	case c.wrap == nil:
		return c, errors.New("RoundTripper(nil): leave the option out to send requests as they are")
	case !httpwire.Printable(c.userAgent):
		return c, fmt.Errorf("UserAgent(%q): must be printable ASCII", httpwire.Clip(c.userAgent))
	}
	if c.timeout == 0 {
		c.timeout = 5 * time.Second
	}
	if c.connect == 0 {
		c.connect = 3 * time.Second
	}
	if c.attempts == 0 {
		c.attempts = 3
	}
	c.retry.Budget = c.attempts - 1
	return c, c.retry.Check()
}

var errNilOption = errors.New("an option is nil")
