package s2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/internal/h2"
	"github.com/headrace/headrace/internal/httpwire"
	"github.com/headrace/headrace/internal/redact"
)

// A Client calls S2 with the credentials of a [Config]. [Client.Basin] leads to basins and their streams; package admin manages
// basins and streams. Any goroutine may call the methods. Close the Client after the last use.
type Client struct {
	cfg            config
	account, basin endpoint
	agent          string

	auth   Auth
	tokens tokenLog
	unary  *transport
	writes *transport  // of append sessions
	http2  atomic.Bool // the server has answered a session over HTTP/2; see reader.fallBack
	coders s2s.Coders

	mu      sync.Mutex
	waiting map[string]*h2.Pool // the connections of watches, by server: see tailWatch
	readers int                 // open readers over HTTP/2, with and without a session
	reads   *transport          // the HTTP/2 connections of read sessions
	unused  *time.Timer         // since the last reader has left; nil before
	advised time.Time           // when reads was last replaced because of advice to reconnect
	closed  bool
}

// New makes a Client without I/O. New refuses a wrong address, a missing or malformed token, and a wrong option.
func New(cfg Config, opts ...Option) (*Client, error) {
	c, err := newClient(cfg, opts)
	if err != nil {
		return nil, fmt.Errorf("s2: %w", err)
	}
	return c, nil
}

func newClient(cfg Config, opts []Option) (c *Client, err error) {
	c = &Client{waiting: map[string]*h2.Pool{}}
	if c.cfg, err = complete(opts); err != nil {
		return nil, err
	}
	if c.auth, err = cfg.credentials(); err != nil {
		return nil, err
	}
	if c.account, c.basin, err = cfg.endpoints(); err != nil {
		return nil, err
	}
	c.agent = strings.TrimSpace("headrace " + c.cfg.userAgent)
	c.unary = c.transport()
	if c.unary.first == nil {
		return nil, errors.New("the function given to RoundTripper returned nil")
	}
	c.unary.MaxIdleConnsPerHost = 32 // calls at the same time over HTTP/1.1 keep their connections; Go's default is 2
	c.reads = c.newReads()
	c.writes = c.appending()
	return c, nil
}

// Close closes idle connections. Open sessions and readers continue until their own Close. Close always returns nil.
func (c *Client) Close() error {
	c.mu.Lock()
	c.closed = true
	reads, waiting := c.reads, slices.Collect(maps.Values(c.waiting))
	c.mu.Unlock()
	for _, p := range waiting {
		p.Close()
	}
	reads.CloseIdleConnections()
	c.unary.CloseIdleConnections()
	return nil
}

// String names the account's server.
func (c *Client) String() string { return "s2:" + c.account.host }

// GoString is String, so that %#v does not print credentials.
func (c *Client) GoString() string { return c.String() }

// LogValue is String, so that logs do not hold credentials.
func (c *Client) LogValue() slog.Value { return slog.StringValue(c.String()) }

// reading counts a reader, and returns the transport that read sessions share.
func (c *Client) reading() *transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readers++
	return c.reads
}

// leave counts the end of a reader. The connections of read sessions stay while there are readers: a reader that waits without a
// session needs a connection as soon as a record comes.
func (c *Client) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.readers--
	switch {
	case c.readers > 0:
	case c.unused == nil:
		c.unused = time.AfterFunc(idleConn, c.closeReads)
	default:
		c.unused.Reset(idleConn)
	}
}

// closeReads closes the connections of read sessions if there still is no reader.
func (c *Client) closeReads() {
	c.mu.Lock()
	unused, reads := c.readers == 0, c.reads
	c.mu.Unlock()
	if unused {
		reads.CloseIdleConnections()
	}
}

// waits returns the pool of connections for the watches over the streams of a basin. Basins may have servers of their own.
func (c *Client) waits(basin string) *h2.Pool {
	server := c.basin.server(basin)
	c.mu.Lock()
	defer c.mu.Unlock()
	p := c.waiting[server]
	if p == nil {
		p = h2.NewPool(c.dialing(), c.cfg.connect+c.cfg.timeout, pingAfter)
		if c.closed {
			p.Close()
		}
		c.waiting[server] = p
	}
	return p
}

// followAdvice reports whether a read session over t should follow the server's advice to reconnect. If so, later sessions use new
// connections. A server that is about to stop repeats the advice in every frame, and the next server may be about
// to stop too. So a Client makes new connections for advice once in advicePause at most, and keeps reading meanwhile: the
// advice is a service and not a failure.
func (c *Client) followAdvice(t *transport) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.reads != t {
		return true // another session has followed the advice already
	}
	if !adviceDue(c.advised) {
		return false
	}
	c.advised = time.Now()
	c.reads = c.newReads()
	return true
}

// replaceReads makes later read sessions use new connections, because the connection of t was silent. The sessions still on t end
// on their own when their timers fire. Without the replacement, each new session would wait on the dead connection first.
func (c *Client) replaceReads(t *transport) {
	c.mu.Lock()
	// Only the first session that finds the connection silent replaces the connection. A later session would throw away the new
	// one.
	if c.reads == t {
		c.reads = c.newReads()
	}
	c.mu.Unlock()
	t.CloseIdleConnections()
}

// closeUnused counts the end of a session on t, and closes the connections of t if no later session will use t. Other sessions may
// still run on t: only idle connections are closed, and the last session on t closes the last connection.
func (c *Client) closeUnused(t *transport) {
	c.mu.Lock()
	idle := c.closed || c.reads != t
	c.mu.Unlock()
	if idle {
		t.CloseIdleConnections()
	}
	c.leave()
}

// setHeaders sets the headers of every request, except the access token: see authorize.
func (c *Client) setHeaders(r *http.Request, basin string) {
	r.Header.Set("User-Agent", c.agent)
	if basin != "" && !c.basin.template() {
		r.Header.Set("S2-Basin", basin)
	}
	if c.cfg.compression != 0 {
		r.Header.Set("Accept-Encoding", c.cfg.compression.String())
	}
}

// open sends the request for a session, and returns the response when its headers are there. ctx limits the opening only: later,
// kill ends the request.
func (c *Client) open(ctx context.Context, kill func(), t *transport, req *http.Request) (*http.Response, error) {
	limit := c.cfg.connect + c.cfg.timeout
	opening, stop := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer within %v, which is ConnectTimeout and Timeout together", limit))
	defer stop()
	// kill ends the request and not only the wait: a request that is given up must not begin a session later.
	prevented := context.AfterFunc(opening, kill) // a call of prevented reports whether the call has prevented kill
	defer prevented()
	if err := c.authorize(opening, req); err != nil {
		return nil, err
	}
	res, err := t.RoundTrip(req)
	switch {
	case err != nil || t == c.unary: // t == c.unary: server-sent events, which do not tell whether HTTP/2 works
	case res.ProtoMajor == 2:
		// From now on, a failed opening is a failure of a connection and not a reason to try server-sent events: see
		// reader.open.
		c.http2.Store(true)
	default: // Go speaks HTTP/1.1 to a TLS server without protocol negotiation
		_ = res.Body.Close()
		return nil, protocolErrorf("an answer in %s where sessions need HTTP/2", res.Proto)
	}
	if err == nil && res.StatusCode != http.StatusOK {
		err = c.refusal(res)
		_ = res.Body.Close()
	} else if err == nil && !prevented() { // the time was over in the last moment, and kill has ended the session
		_ = res.Body.Close()
		return nil, context.Cause(opening)
	}
	// The refusal of the server says more than the end of the opening, although both may be true.
	var refused *Error
	if err != nil && opening.Err() != nil && !errors.As(err, &refused) {
		return nil, fmt.Errorf("%w: %w", context.Cause(opening), c.redact(err))
	}
	if err != nil {
		return nil, c.redact(err)
	}
	return res, nil
}

// errorBody is how much is read of the body of an error.
const errorBody = 64 << 10

// refusal makes the error of an answer with a status of failure.
func (c *Client) refusal(res *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, errorBody))
	// Without a body, the status alone does not say whether the server or a proxy has answered, so the failure counts as one of
	// the network.
	if err != nil && len(body) == 0 {
		return fmt.Errorf("status %d, and reading why: %w", res.StatusCode, c.redact(err))
	}
	if body, err = decompress(res.Header.Get("Content-Encoding"), body); err != nil {
		body = nil // the error has the status alone
	}
	e := parseError(res.StatusCode, body, c.secrets(res.Request.Header))
	// The pause is in the headers, and a proxy may send the header without a body.
	e.wait = httpwire.RetryAfter(res.Header)
	return e
}

// secrets returns the credentials in a request. Some proxies repeat the headers of a request in their answer.
func (c *Client) secrets(header http.Header) redact.Secrets {
	return append(c.tokens.secrets(), header.Get(keyHeader))
}

// redact hides tokens in the text of an error. Only a server or proxy can put a token into an error, so redact nearly always
// returns err unchanged.
func (c *Client) redact(err error) error {
	switch e := err.(type) {
	case nil, *Error: // parseError has hidden the secrets
		return err
	case *ProtocolError:
		return &ProtocolError{c.redact(e.Err)}
	}
	return c.secrets(nil).Error(err)
}
