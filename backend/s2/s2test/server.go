package s2test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/internal/unread"
)

// A Server is a running S2. Make one with [New] or [Start].
type Server struct {
	// URL is the base of account and basins alike, such as "http://127.0.0.1:43210". Clients name the basin in the header
	// s2-basin, as they do with every server on a single host.
	URL string

	cfg      config
	coder    *coder
	store    *store // nil: memory
	listener *listener
	http     *http.Server
	handlers sync.WaitGroup
	gate     sync.Mutex // between a request that begins and the wait for all
	closed   bool
	barrier  chan struct{} // while connections are dropped: requests that begin wait until it is closed
	closing  chan struct{}
	close    sync.Once
	served   chan struct{}

	faults struct {
		any  atomic.Bool
		mu   sync.Mutex
		list []*Injection
	}
	stats counters
	meter *meter // of calls

	mu      sync.Mutex // of the catalog: names and what is configured
	catalog catalog
	clients []*s2.Client
}

// New starts a server on a free port of the loopback, for the time of a test. It fails the test if it cannot.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := Start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Start starts a server for whoever has no test. Close it in the end.
func Start(opts ...Option) (*Server, error) {
	cfg := newConfig(opts)
	s := &Server{
		cfg:     cfg,
		closing: make(chan struct{}),
		served:  make(chan struct{}),
		meter:   newMeter(),
		catalog: newCatalog(),
	}
	if err := s.open(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", cfg.addr)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("s2test: %w", err), s.release())
	}
	s.listener = &listener{Listener: l, conns: map[*conn]struct{}{}}
	s.URL = "http://" + l.Addr().String()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = &http.Server{
		Handler:     http.HandlerFunc(s.serve),
		Protocols:   protocols,
		ErrorLog:    log.New(io.Discard, "", 0), // broken connections are what this server is for
		ConnContext: withConn,
		ConnState: func(c net.Conn, state http.ConnState) {
			if c, ok := c.(*conn); ok {
				s.listener.track(c, state != http.StateClosed && state != http.StateHijacked)
			}
		},
		// A session holds a stream of its connection for its life. The windows keep an append of several batches going
		// without waiting for updates.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          10_000,
			MaxReadFrameSize:              1 << 20,
			MaxReceiveBufferPerStream:     8 << 20,
			MaxReceiveBufferPerConnection: 32 << 20,
		},
		ReadHeaderTimeout: 30 * time.Second,
	}
	go func() {
		defer close(s.served)
		_ = s.http.Serve(s.listener) // it ends with the listener
	}()
	return s, nil
}

// open makes the parts that have to be given back.
func (s *Server) open() (err error) {
	if s.coder, err = newCoder(); err != nil {
		return err
	}
	if s.cfg.data != "" {
		if s.store, err = openStore(s.cfg.data); err != nil {
			s.coder.close()
			return err
		}
		if err = s.restore(); err != nil {
			return errors.Join(err, s.release())
		}
	}
	if err = s.seed(); err != nil {
		return errors.Join(err, s.release())
	}
	return nil
}

func (s *Server) release() (err error) {
	if s.store != nil {
		err = s.store.close()
	}
	s.coder.close()
	return err
}

// Close breaks what is under way, waits for it to end and closes the data file. A second Close does nothing.
func (s *Server) Close() error { return s.stop(func() error { return s.http.Close() }) }

// Shutdown refuses new requests, ends sessions that follow, and waits within ctx for those that append. Then it closes.
func (s *Server) Shutdown(ctx context.Context) error {
	return s.stop(func() error {
		err := s.http.Shutdown(ctx)
		return errors.Join(err, s.http.Close())
	})
}

func (s *Server) stop(how func() error) (err error) {
	s.close.Do(func() {
		close(s.closing)
		err = how()
		<-s.served
		s.mu.Lock()
		for _, c := range s.clients {
			err = errors.Join(err, c.Close())
		}
		s.mu.Unlock()
		s.gate.Lock()
		s.closed = true
		s.gate.Unlock()
		s.handlers.Wait()
		err = errors.Join(err, s.release())
	})
	return err
}

// Client makes a client of this server that may do everything. The server closes it when it is closed itself. opts that
// make no client at all are a mistake of the caller: it panics.
func (s *Server) Client(opts ...s2.Option) *s2.Client {
	opts = append([]s2.Option{s2.AccountEndpoint(s.URL), s2.BasinEndpoint(s.URL)}, opts...)
	c, err := s2.New(s.Token(), opts...)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = append(s.clients, c)
	return c
}

// Token is an access token that may do everything.
func (s *Server) Token() string {
	if s.cfg.token != "" {
		return s.cfg.token
	}
	return "s2test"
}

func (s *Server) now() time.Time { return s.cfg.now() }

// Errors that end an answer and are no answer themselves.
var (
	errAbort = errors.New("abort the request")
	errEnd   = errors.New("end the answer")
)

// An exchange is one request and its answer.
type exchange struct {
	srv    *Server
	w      http.ResponseWriter
	r      *http.Request
	op     Op
	stream string // as the client named it
	who    *grant
	begun  bool // the status line was sent
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := connOf(r.Context())
	if !s.enter(c) {
		panic(http.ErrAbortHandler)
	}
	defer s.handlers.Done()
	defer c.handlers.Done()
	share(w.Header())
	x := &exchange{srv: s, w: w, r: r}
	err := x.route()
	switch {
	case err == nil || err == errEnd:
	case err == errAbort || x.begun:
		panic(http.ErrAbortHandler)
	default:
		if r.ProtoMajor == 1 {
			_ = unread.PassOver(w, r, unreadTime)
		}
		asAPIError(err).write(w)
	}
}

// unreadTime is how long the answer waits for a body that it does not depend on, bodyTime how long it waits for another one.
const (
	unreadTime = 2 * time.Second
	bodyTime   = time.Minute
)

// share lets pages of any origin use the server, as S2 Lite does.
func share(h http.Header) {
	h["Access-Control-Allow-Origin"] = anything
	h["Access-Control-Allow-Methods"] = anything
	h["Access-Control-Allow-Headers"] = anyHeader
	h["Access-Control-Expose-Headers"] = anything
}

var (
	anything  = []string{"*"}
	anyHeader = []string{"*, authorization"} // browsers do not count authorization among *
)

// enter counts a request that begins on c, or says that the server is closed.
func (s *Server) enter(c *conn) bool {
	for {
		s.gate.Lock()
		if s.closed || s.barrier == nil {
			if !s.closed {
				s.handlers.Add(1)
				c.handlers.Add(1)
			}
			defer s.gate.Unlock()
			return !s.closed
		}
		barrier := s.barrier
		s.gate.Unlock()
		<-barrier
	}
}

// DropConnections breaks every connection there is. When it returns, nothing that came over them is at work any more, and
// only then do requests on new connections begin: what a client sends again is not overtaken by what it sent before.
func (s *Server) DropConnections() {
	barrier := make(chan struct{})
	for {
		s.gate.Lock()
		other := s.barrier
		if other == nil {
			s.barrier = barrier
			s.gate.Unlock()
			break
		}
		s.gate.Unlock()
		<-other
	}
	conns := s.listener.open()
	for _, c := range conns {
		c.drop()
	}
	for _, c := range conns {
		c.handlers.Wait()
	}
	s.gate.Lock()
	s.barrier = nil
	s.gate.Unlock()
	close(barrier)
}

func (x *exchange) conn() *conn { return connOf(x.r.Context()) }

// suffer carries out a fault, as far as it is none that concerns a frame.
func (x *exchange) suffer(e Effect) error {
	c := x.conn()
	switch e.do {
	case doStatus:
		return e.err
	case doDrop:
		c.drop()
		return errAbort
	case doReset:
		return errAbort
	case doEnd:
		return errEnd
	case doStall:
		return x.pause(nil)
	case doDelay:
		t := time.NewTimer(e.delay)
		defer t.Stop()
		return x.pause(t.C)
	case doGoAway:
		c.sendGoAway()
	case doCut:
		c.cutAfter(e.bytes)
	}
	return nil
}

// pause waits for c, or until nobody wants an answer any more.
func (x *exchange) pause(c <-chan time.Time) error {
	select {
	case <-c:
		return nil
	case <-x.r.Context().Done():
	case <-x.srv.closing:
	}
	return errAbort
}
