package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/headrace/headrace/internal/fault"
	"github.com/headrace/headrace/internal/unread"
)

// A Server is S2 in this process. Any goroutine may call its methods.
type Server struct {
	cfg      Config
	coder    *coder
	store    *store         // nil: everything is in memory
	handlers sync.WaitGroup // of all requests

	gate    sync.Mutex    // guards closed and barrier, and the Adds of the handlers
	closed  bool          // no request begins any more
	barrier chan struct{} // not nil while connections are dropped: requests wait with their beginning until it is closed

	closing chan struct{} // closed by the first Close or Shutdown
	close   sync.Once

	startMu  sync.Mutex // guards what Start makes
	listener *listener  // nil before Start
	http     *http.Server
	served   chan struct{} // closed when http serves no more

	faults fault.Set[Op, Stage, Effect]
	stats  counters
	meter  *meter // of calls

	mu      sync.Mutex // of the catalog: names and what is configured
	catalog catalog
}

// New makes a server. It serves nothing before Start. Close it in the end, also when it was never started.
func New(c Config) (*Server, error) {
	s := &Server{cfg: c.complete(), closing: make(chan struct{}), meter: newMeter(), catalog: newCatalog()}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// Start listens on a TCP address and serves account and basins there. "127.0.0.1:0" is a free port of the loopback. It is
// called once.
func (s *Server) Start(addr string) error {
	s.startMu.Lock()
	defer s.startMu.Unlock()
	switch {
	case s.listener != nil:
		return errors.New("s2 server: started already")
	case s.isClosing():
		return errors.New("s2 server: closed")
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("s2 server: %w", err)
	}
	s.listener = &listener{Listener: l, conns: map[*conn]struct{}{}}
	s.http = s.newHTTP()
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		_ = s.http.Serve(s.listener) // it ends with the listener
	}()
	return nil
}

func (s *Server) newHTTP() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:     http.HandlerFunc(s.serve),
		Protocols:   protocols,
		ErrorLog:    log.New(io.Discard, "", 0), // faults break connections on purpose, and each would be a line
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
}

// URL is the base of account and basins alike, such as "http://127.0.0.1:43210". Clients name the basin in the header
// s2-basin, as they do with every server on a single host. URL is "" before Start.
func (s *Server) URL() string {
	s.startMu.Lock()
	defer s.startMu.Unlock()
	if s.listener == nil {
		return ""
	}
	return "http://" + s.listener.Addr().String()
}

func (s *Server) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// open makes the parts that have to be released in the end.
func (s *Server) open() (err error) {
	if s.coder, err = newCoder(); err != nil {
		return err
	}
	if s.cfg.Data != "" {
		if s.store, err = openStore(s.cfg.Data); err != nil {
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
func (s *Server) Close() error { return s.stop(func(h *http.Server) error { return h.Close() }) }

// Shutdown refuses new requests, ends sessions that follow, and waits for those that append. When ctx is done first,
// Shutdown breaks their connections and returns the error of ctx. Then it closes the data file.
func (s *Server) Shutdown(ctx context.Context) error {
	return s.stop(func(h *http.Server) error {
		err := h.Shutdown(ctx)
		return errors.Join(err, h.Close())
	})
}

func (s *Server) stop(end func(*http.Server) error) (err error) {
	s.close.Do(func() {
		s.startMu.Lock()
		close(s.closing)
		started, served := s.http, s.served
		s.startMu.Unlock()
		if started != nil {
			err = end(started)
			<-served
		}
		s.gate.Lock()
		s.closed = true
		s.gate.Unlock()
		s.handlers.Wait()
		err = errors.Join(err, s.release())
	})
	return err
}

// Token is an access token that may do everything.
func (s *Server) Token() string {
	if s.cfg.Token != "" {
		return s.cfg.Token
	}
	return "any"
}

func (s *Server) now() time.Time { return s.cfg.Clock() }

// errAbort and errEnd end the handling of a request without an answer of their own.
var (
	errAbort = errors.New("abort the request") // the client is gone, or a fault breaks the connection
	errEnd   = errors.New("end the answer")    // the answer is complete
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

// enter counts a request that begins on c. It returns false if the server is closed. While connections are dropped, it waits.
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

// DropConnections breaks all connections. When it returns, no request of them is at work any more. Requests on new connections
// begin only then. So what a client sends again on a new connection cannot be overtaken by what it has sent before on the old
// one.
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
	var conns []*conn
	s.startMu.Lock()
	if s.listener != nil {
		conns = s.listener.open()
	}
	s.startMu.Unlock()
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

// suffer does what a fault says, unless the fault only changes a frame: that is for alter.
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

// pause waits for c. If the client gives up or the server is closed first, pause returns errAbort. A nil c never fires.
func (x *exchange) pause(c <-chan time.Time) error {
	select {
	case <-c:
		return nil
	case <-x.r.Context().Done():
	case <-x.srv.closing:
	}
	return errAbort
}
