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

	"github.com/headrace/headrace/internal/calls"
	"github.com/headrace/headrace/internal/fault"
	"github.com/headrace/headrace/internal/unread"
)

// A Server is an S2 server in this process. Any goroutine may call its methods.
//
// Lock order: mu, which guards the catalog, then the mu of a stream, then the mu of a meter. startMu comes before the
// mu of the listener.
//
// Everything that a client is told must outlive a crash, so two rules hold for all calls. A change is queued at the
// store while the lock that guards the change is held, so the file gets the changes in the order of memory. And the
// answer waits, without any lock, until the store has written everything that the answer speaks of: see append and
// waitDurable.
type Server struct {
	cfg      Config
	coder    *coder
	store    *store         // nil: everything is in memory
	handlers sync.WaitGroup // counts the requests at work

	gate    sync.Mutex    // guards closed and barrier, and handlers.Add, which must not happen after handlers.Wait
	closed  bool          // no request may begin any more
	barrier chan struct{} // not nil while connections are dropped: new requests wait until it is closed

	closing  chan struct{} // the first Close or Shutdown closes it
	finished sync.Once

	startMu  sync.Mutex // guards the fields that Start sets
	listener *listener  // nil before Start
	http     *http.Server
	served   chan struct{} // closed when http serves no more

	faults fault.Set[Op, Stage, Effect]
	stats  counters
	calls  calls.Counter
	meter  *meter // counts the calls of the account

	mu      sync.Mutex // guards catalog
	catalog catalog
}

// New makes a server from c. The server serves nothing before Start. The caller must close the server in the end, even
// if it was never started.
func New(c Config) (*Server, error) {
	s := &Server{cfg: c.complete(), closing: make(chan struct{}), meter: newMeter(), catalog: newCatalog()}
	if err := s.open(); err != nil {
		return nil, err
	}
	return s, nil
}

// Start listens on a TCP address, and serves the calls on accounts and basins there. "127.0.0.1:0" means a free port of
// the loopback interface. Start may be called once.
func (s *Server) Start(addr string) error {
	s.startMu.Lock()
	defer s.startMu.Unlock()
	switch {
	case s.listener != nil:
		return fmt.Errorf("s2 server: start on %s: the server listens on %s already", addr, s.listener.Addr())
	case s.isClosing():
		// The data file is closed too, so a server that listened now could only fail.
		return fmt.Errorf("s2 server: start on %s: the server is closed, make a new server", addr)
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("s2 server: start: %w", err)
	}
	s.serveLocked(l)
	return nil
}

// serveLocked serves the connections that l accepts. startMu must be held.
func (s *Server) serveLocked(l net.Listener) {
	s.listener = &listener{Listener: l, conns: map[*conn]struct{}{}}
	s.http = s.newHTTP()
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		_ = s.http.Serve(s.listener) // it returns an error when the listener is closed, which is the normal end
	}()
}

func (s *Server) newHTTP() *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	// One port serves both versions. Clients make their unary calls over HTTP/1.1, and open sessions with the preface
	// of HTTP/2 and no upgrade (prior knowledge), as the specification asks. An append session over HTTP/1.1 is
	// refused: see appendSession.
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:     http.HandlerFunc(s.serve),
		Protocols:   protocols,
		ErrorLog:    log.New(io.Discard, "", 0), // faults break connections on purpose, and each broken connection would write a line
		ConnContext: withConn,
		// net/http tells us when a connection begins and ends. Without this, the listener would keep every connection for
		// ever, and DropConnections would drop connections that are long gone.
		ConnState: func(c net.Conn, state http.ConnState) {
			if c, ok := c.(*conn); ok {
				s.listener.track(c, state != http.StateClosed && state != http.StateHijacked)
			}
		},
		// Each session uses one HTTP/2 stream of its connection for its whole life, so a connection needs many streams.
		// The receive windows have room for several batches of one session under way. With the small default windows, a
		// client would often wait for window updates.
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams: 10_000,
			// Large frames save processor time on both sides: with frames of 128 KiB a record of 1 KiB took about a
			// tenth more, with 64 KiB about a sixth (measured). A client that sends its sessions by net/http pays with
			// a buffer of 512 KiB for each append session; the client in backend/s2 holds none.
			MaxReadFrameSize:              1 << 20,
			MaxReceiveBufferPerStream:     8 << 20,
			MaxReceiveBufferPerConnection: 32 << 20,
		},
		// A client that connects and sends nothing must not hold its connection for ever.
		ReadHeaderTimeout: 30 * time.Second,
	}
}

// URL is the base URL of all calls, for example "http://127.0.0.1:43210". Clients name the basin in the header
// s2-basin, as clients do with every S2 server on a single host. URL is "" before Start.
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

// open makes the parts of the server that release must free.
func (s *Server) open() (err error) {
	if s.coder, err = newCoder(); err != nil {
		return err
	}
	// The file comes before the seed: a basin that is in the file is not made again.
	if s.cfg.Data != "" {
		if s.store, err = openStore(s.cfg.Data); err != nil {
			s.coder.close()
			return err
		}
		// A failure frees everything made before. Otherwise the file would stay locked, and the next attempt in this
		// process would wait in vain.
		if err = s.restore(); err != nil {
			return errors.Join(err, s.release())
		}
	}
	if err = s.seed(); err != nil {
		return errors.Join(fmt.Errorf("s2 server: make the basins of Config: %w", err), s.release())
	}
	return nil
}

// release frees what open has made. No request may be at work: a commit on its way needs the store, and a frame needs
// the coder.
func (s *Server) release() (err error) {
	if s.store != nil {
		err = s.store.close()
	}
	s.coder.close()
	return err
}

// Close breaks the requests under way, waits for their end, and closes the data file. A second Close does nothing. Close
// also breaks the requests that a Shutdown in another goroutine waits for.
func (s *Server) Close() (err error) {
	if started := s.beginEnd(); started != nil {
		err = started.Close()
	}
	return errors.Join(err, s.finish())
}

// Shutdown refuses new requests, ends the read sessions that follow, and waits until the append sessions have
// acknowledged what they have stored. If ctx is done first, Shutdown breaks the connections that are left, and returns
// the error of ctx. In the end Shutdown closes the data file.
func (s *Server) Shutdown(ctx context.Context) (err error) {
	if started := s.beginEnd(); started != nil {
		// After a Shutdown in time, Close finds nothing to break. After the end of ctx, Close breaks what is left, and
		// finish can go on.
		err = errors.Join(started.Shutdown(ctx), started.Close())
	}
	return errors.Join(err, s.finish())
}

// beginEnd tells the requests that the server ends, and returns the HTTP server, or nil before Start. It does not wait,
// so that a Close can break the connections while a Shutdown still waits for them.
func (s *Server) beginEnd() *http.Server {
	// closing is closed with startMu held. Start looks at closing under the same lock, so no server starts to listen
	// behind a Close.
	s.startMu.Lock()
	defer s.startMu.Unlock()
	if !s.isClosing() {
		close(s.closing)
	}
	return s.http
}

// finish waits until no request is at work, and then frees the parts of the server, once.
func (s *Server) finish() (err error) {
	s.finished.Do(func() {
		if s.served != nil { // Start changes served no more: see beginEnd
			<-s.served
		}
		// No request may begin after handlers.Wait below, because it would use the store after the store is closed. The
		// gate makes sure of this: enter adds to handlers with the gate held, and only while closed is false.
		s.gate.Lock()
		s.closed = true
		s.gate.Unlock()
		s.handlers.Wait()
		err = s.release()
	})
	return err
}

// Token returns an access token that may do everything.
func (s *Server) Token() string {
	if s.cfg.Token != "" {
		return s.cfg.Token
	}
	return "any"
}

func (s *Server) now() time.Time { return s.cfg.Clock() }

// errAbort and errEnd end the handling of a request without an error answer.
var (
	errAbort = errors.New("abort the request") // the client is gone, or a fault breaks the connection: net/http must break it
	errEnd   = errors.New("end the answer")    // the answer is complete
)

// An exchange is one request and its answer.
type exchange struct {
	srv        *Server
	w          calls.Response
	r          *http.Request
	op         Op
	stream     string  // the name of the stream as the client wrote it
	who        *grant  // the rights of the request's token; nil may do everything
	key        keyHash // of the request on an encrypted stream: see checkKey
	statusSent bool    // the status line was sent, so an error can no longer change the status
	bodyPassed bool    // we have waited for the rest of a body that we do not need, and must not wait again
}

// serve handles one request. Only serve decides how a failure reaches the client: as an HTTP error before the status is
// sent, and as a broken connection afterwards.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := connOf(r.Context())
	// The panic with this value is net/http's way to break a connection without a word.
	if !s.enter(c) {
		panic(http.ErrAbortHandler)
	}
	// Deferred calls run from the bottom up, so a request is counted as ended before Close and DropConnections hear of
	// its end. A test that looks at Stats behind one of the two finds the request among the ended ones.
	defer s.handlers.Done()
	defer c.handlers.Done()
	// Before any check: without these headers a browser would hide even an error from its page.
	allowAllOrigins(w.Header())
	x := &exchange{srv: s, w: calls.Response{ResponseWriter: w}, r: r}
	whole := false
	s.calls.Begin()
	defer func() { s.calls.End(x.op.name(), x.w.Status(whole)) }()
	err := x.route()
	switch {
	case err == nil || err == errEnd:
		whole = true
	// After the status line, only a broken connection tells the client that the answer is not complete. An answer that
	// ends normally would look complete.
	case err == errAbort || x.statusSent:
		panic(http.ErrAbortHandler)
	default:
		// An HTTP/1.1 client may send its whole body before it reads the answer. If we answered and closed the
		// connection at once, the client would see a reset and not the error.
		// An HTTP/2 client needs no such care: the end of one stream leaves the connection alone.
		if r.ProtoMajor == 1 && !x.bodyPassed {
			_ = unread.PassOver(w, r, unreadTime)
		}
		x.answerTo(err).write(&x.w)
		whole = true
	}
}

// unreadTime bounds the wait for a request body on which the answer does not depend. bodyTime bounds the wait for a
// body that the server needs.
const (
	unreadTime = 2 * time.Second
	bodyTime   = time.Minute
)

// allowAllOrigins lets web pages of any origin use the server, as the open-source server of S2 does.
func allowAllOrigins(h http.Header) {
	h["Access-Control-Allow-Origin"] = anything
	h["Access-Control-Allow-Methods"] = anything
	h["Access-Control-Allow-Headers"] = anyHeader
	h["Access-Control-Expose-Headers"] = anything
}

var (
	anything  = []string{"*"}
	anyHeader = []string{"*, authorization"} // browsers do not count authorization as part of *
)

// enter counts a request at its beginning on c. enter returns false if the request must not begin: the server is closed,
// or c was dropped. While DropConnections works, enter waits.
func (s *Server) enter(c *conn) bool {
	for {
		s.gate.Lock()
		switch {
		// The request of a dropped connection may have waited below since before the drop. Its client has sent the
		// batch again on another connection, so storing the batch now would store it twice.
		case s.closed || c.dropped.Load():
			s.gate.Unlock()
			return false
		case s.barrier == nil:
			// Add runs with the gate held: see finish and DropConnections, which wait for the two groups.
			s.handlers.Add(1)
			c.handlers.Add(1)
			s.gate.Unlock()
			return true
		}
		barrier := s.barrier
		s.gate.Unlock()
		<-barrier
	}
}

// DropConnections breaks all connections. When DropConnections returns, no request of these connections is at work any
// more, and only then do requests on new connections begin. Otherwise the server could store a batch that a client
// sends again on a new connection before the same batch from the old connection. New requests wait at the barrier
// meanwhile, also those of new connections: a client reconnects faster than an old request ends.
func (s *Server) DropConnections() {
	barrier := make(chan struct{})
	// Two calls of DropConnections at the same time take turns: each needs its own barrier.
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
	// We drop all connections before we wait for any request. Otherwise some clients could go on while we wait for
	// others.
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

// applyFault does what a fault says. A fault for frames does nothing here: alter applies the fault to the frame. A
// stalled or delayed request holds no lock, so the requests beside it go on.
func (x *exchange) applyFault(e Effect) error {
	c := x.conn()
	switch e.do {
	case doStatus:
		return e.err
	// drop runs before the request ends, and no other request of this connection can still answer.
	case doDrop:
		c.drop()
		return errAbort
	// net/http makes RST_STREAM of the panic that errAbort leads to. Over HTTP/1.1 there are no streams, and the
	// connection breaks.
	case doReset:
		return errAbort
	// The answer ends in the regular way with acks or records missing. Only a client that counts them can notice.
	case doEnd:
		return errEnd
	case doStall:
		return x.pause(nil)
	case doDelay:
		t := time.NewTimer(e.delay)
		defer t.Stop()
		return x.pause(t.C)
	// A GOAWAY and a cut do not end this request.
	case doGoAway:
		c.sendGoAway()
	case doCut:
		c.cutAfter(e.bytes)
	}
	return nil
}

// pause waits until c fires. If the client gives up or the server is closed first, pause returns errAbort. A nil c
// never fires.
func (x *exchange) pause(c <-chan time.Time) error {
	select {
	case <-c:
		return nil
	case <-x.r.Context().Done():
	case <-x.srv.closing:
	}
	return errAbort
}
