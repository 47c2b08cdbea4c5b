package h2

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

// A Pool sends requests to one server whose responses may say nothing for hours, many of them over one connection. net/http
// can do the same, and needs a goroutine and 5 KiB for each request. Here, a request costs a few hundred bytes and no goroutine. A
// connection has one goroutine, which hands what comes to the [Listener] of the request.
//
// A Pool is not for responses with much data: the window of a request has waitingWindow bytes.
type Pool struct {
	connections *http.Transport
	limit       time.Duration
	pingAfter   time.Duration // see Configure

	mu       sync.Mutex
	shared   []*shared
	queue    []*Waiting // not sent yet
	starting bool       // a goroutine sends what is in queue
	failures int        // attempts in a row to make a connection
	pausedTo time.Time  // no attempt to make a connection before
	closed   bool
}

// A Listener gets the response to a request. The goroutine of the connection calls both methods, so they must not block: all other
// requests of the connection would wait. A call that has begun at the moment of [Waiting.Stop] may return after Stop.
type Listener interface {
	// Data gets the next bytes of the body of the response, whatever the status of the response is. p is valid only during the
	// call. After Data has returned false, the request is given up.
	Data(p []byte) (more bool)

	// Ended is called once when the request ends in any way other than a false of Data or a Stop. If lost is true, the server has not
	// ended the request: the connection is lost, or the request has never left.
	Ended(err error, lost bool)
}

// A Pool makes no new connection for firstPause after a failure, and for twice as long after each further failure, up to mostPause.
// A service with a thousand readers would otherwise ask a server that refuses connections a hundred times a second.
const (
	firstPause = time.Second
	mostPause  = 64 * time.Second
)

var (
	errPaused = errors.New("an attempt to make a connection has failed a short time ago")
	errFull   = errors.New("the server takes no request on a new connection")
)

// NewPool makes a Pool for one server. The Pool makes its connections as the settings of t say, and owns t. limit is for the
// preparation of a request, and for a new connection. pingAfter is that of [Configure].
func NewPool(t *http.Transport, limit, pingAfter time.Duration) *Pool {
	p := &Pool{connections: t, limit: limit, pingAfter: pingAfter}
	configure(t, func(c net.Conn) http.RoundTripper { return newcomer{p, c} })
	return p
}

// Start sends the request that prepare makes, and returns at once. A goroutine calls prepare when the turn of the request has
// come.
func (p *Pool) Start(prepare func(context.Context) (*http.Request, error), l Listener) *Waiting {
	w := &Waiting{pool: p, prepare: prepare, listener: l}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.queue = append(p.queue, w)
	if !p.starting {
		p.starting = true
		go p.start()
	}
	return w
}

// start sends the queue. One request after the other is sent, because the requests of a connection have ascending numbers. Nobody
// is in a hurry: a caller keeps its session until the server has answered the request.
func (p *Pool) start() {
	for {
		p.mu.Lock()
		if len(p.queue) == 0 {
			p.starting, p.queue = false, nil
			p.mu.Unlock()
			return
		}
		w := p.queue[0]
		p.queue[0] = nil
		p.queue = p.queue[1:]
		p.mu.Unlock()
		if err := p.send(w); err != nil {
			w.end(err, true)
		}
	}
}

// send sends a request on a connection with room, or on a new connection.
func (p *Pool) send(w *Waiting) error {
	prepare := w.prepare
	w.prepare = nil // its memory is not needed while the request waits
	p.mu.Lock()
	over, shared := w.over, slices.Clone(p.shared)
	p.mu.Unlock()
	if over {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.limit)
	defer cancel()
	req, err := prepare(ctx)
	if err != nil {
		return err
	}
	for _, c := range shared {
		if sent, err := c.start(w, req); sent || err != nil {
			return err
		}
	}
	c, err := p.connect(req.URL)
	if err != nil {
		return err
	}
	sent, err := c.start(w, req)
	switch {
	case err != nil:
		return err
	case !sent:
		p.pause()
		c.end(errFull)
		return errFull
	}
	p.mu.Lock()
	p.failures = 0
	p.mu.Unlock()
	return nil
}

// pause lets the pool make no connection for a while.
func (p *Pool) pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pausedTo = time.Now().Add(min(firstPause<<p.failures, mostPause))
	p.failures = min(p.failures+1, 10) // a larger number would shift the pause out of its range
}

// connect makes another connection.
func (p *Pool) connect(server *url.URL) (_ *shared, err error) {
	p.mu.Lock()
	paused := time.Now().Before(p.pausedTo)
	p.mu.Unlock()
	if paused {
		return nil, errPaused
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.limit)
	defer cancel()
	var c *shared
	// net/http makes connections only for requests. newcomer answers this request itself.
	req, err := http.NewRequestWithContext(context.WithValue(ctx, newcomerKey{}, &c), http.MethodGet, server.Scheme+"://"+server.Host, nil)
	if err == nil {
		var res *http.Response
		if res, err = p.connections.RoundTrip(req); err == nil {
			_ = res.Body.Close()
		}
	}
	if err == nil && c == nil {
		err = errors.New("the server does not speak HTTP/2") // and net/http has asked the server in HTTP/1.1
	}
	if err != nil {
		p.pause()
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.shared = append(p.shared, c)
	// The goroutine starts behind the line above. Otherwise a connection that ends at once would stay in the pool.
	go c.run()
	return c, nil
}

// Close closes the connections without requests. From now on, a connection closes with its last request.
func (p *Pool) Close() {
	p.mu.Lock()
	p.closed = true
	shared := slices.Clone(p.shared)
	p.mu.Unlock()
	for _, c := range shared {
		c.closeUnused()
	}
}

type newcomerKey struct{}

// A newcomer is a new connection of a pool.
type newcomer struct {
	pool *Pool
	net.Conn
}

// RoundTrip prepares the connection for requests, and answers req without sending anything of it.
func (n newcomer) RoundTrip(req *http.Request) (*http.Response, error) {
	c := newShared(n.pool, n.Conn)
	// A server that accepts the connection and says nothing must not hold the queue for longer than the time of ctx.
	defer context.AfterFunc(req.Context(), func() { _ = c.link.Close() })()
	if err := c.greet(); err != nil {
		_ = c.link.Close()
		return nil, err
	}
	*req.Context().Value(newcomerKey{}).(**shared) = c
	return &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}
