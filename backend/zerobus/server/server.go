package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"

	"github.com/headrace/headrace/internal/calls"
	"github.com/headrace/headrace/internal/fault"
)

// messageLimit is the largest message that gRPC reads. It is larger than the protocol's limit of 10 MiB. Otherwise gRPC
// would refuse a message of 11 MiB with RESOURCE_EXHAUSTED, and the service refuses such a message with
// INVALID_ARGUMENT.
const messageLimit = 16 << 20

// A Server is a Zerobus service in this process. Any goroutine may call its methods.
//
// Three things may run at once: the gRPC endpoint, the OAuth endpoint, and a Restart or Shutdown. The turn is for the
// last two alone. All other methods take a lock for a moment, so a test may ask for rows or inject a fault while a
// Restart waits.
type Server struct {
	cfg   *config
	creds *tls.Config // nil: plaintext
	pool  *x509.CertPool

	readers sync.WaitGroup // goroutines of streams and of the listeners; a stream's goroutine may end a moment after its RPC

	// turn is held by Start, Restart and Shutdown, which may take long. mu cannot do that: URL must not wait for a
	// Shutdown. Lock order: turn, then mu.
	turn    chan struct{}
	closing chan struct{} // the first Shutdown closes it, without the turn, so that a Restart ends early
	closed  sync.Once

	mu       sync.Mutex   // guards the fields below
	port     net.Listener // of the gRPC endpoint; nil before Start
	rpc      *grpc.Server
	listen   *listener // of rpc
	oauth    *http.Server
	oauthURL string

	tables  tables
	tokens  tokens
	faults  fault.Set[Op, Stage, Effect]
	scripts scripts
	log     transcripts
	calls   calls.Counter
}

// New makes a server, which serves nothing before Start. Close the server at the end.
func New(c Config) (*Server, error) {
	s := &Server{cfg: c.complete(), turn: make(chan struct{}, 1), closing: make(chan struct{})}
	if err := s.tables.init(s.cfg); err != nil {
		return nil, fmt.Errorf("zerobus server: %w", err)
	}
	if c.TLS {
		var err error
		if s.creds, s.pool, err = certificate(); err != nil {
			return nil, fmt.Errorf("zerobus server: %w", err)
		}
	}
	s.tokens.init(s.cfg)
	return s, nil
}

// Start serves the gRPC endpoint at addr, and the OAuth endpoint at the address in the Config. addr is host:port;
// "127.0.0.1:0" means a free port of the loopback interface. A second Start is an error.
func (s *Server) Start(addr string) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	switch {
	// URL takes mu, which is allowed with the turn held: see the lock order.
	case s.URL() != "":
		return errors.New("zerobus server: started already")
	case s.isClosing():
		return errors.New("zerobus server: closed")
	}
	// Both endpoints listen before one serves. If one of them fails, a listener without clients is easy to close.
	oauth, err := s.cfg.listen(s.cfg.OAuthAddr)
	if err != nil {
		return fmt.Errorf("zerobus server: start: %w", err)
	}
	port, err := s.cfg.listen(addr)
	if err != nil {
		return errors.Join(fmt.Errorf("zerobus server: start: %w", err), oauth.Close())
	}
	s.serve(port)
	s.readers.Go(func() { s.accept(port) })
	at := s.scheme() + oauth.Addr().String()
	if s.creds != nil {
		oauth = tls.NewListener(oauth, s.creds)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/oidc/v1/token", s.token)
	// The timeouts free the goroutine of a client that sends only a part of its request.
	h := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	s.readers.Go(func() { _ = h.Serve(oauth) }) // the error is always ErrServerClosed, because the listener fails only when it is closed
	s.mu.Lock()
	defer s.mu.Unlock()
	s.oauth, s.oauthURL = h, at
	return nil
}

func (s *Server) scheme() string {
	if s.creds != nil {
		return "https://"
	}
	return "http://"
}

// URL returns the address of the gRPC endpoint, with scheme and port. It returns "" before Start.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.port == nil {
		return ""
	}
	return s.scheme() + s.port.Addr().String()
}

// OAuthURL returns the address of the Unity Catalog, whose OAuth endpoint issues tokens. The address has a scheme and a
// port. It is "" before Start.
func (s *Server) OAuthURL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.oauthURL
}

// serve starts a gRPC server for the connections of the port.
//
// The window of a connection is twice the window of a stream. With the same size, a stream that the server does not
// read, for example because of a fault, would use up the window of the connection and stop all other streams of the
// client. The read buffer is large so that a benchmark of a client does not measure this server's calls of the
// operating system. MaxRecvMsgSize is set, because gRPC reads 4 MiB at most by default, and the service takes messages
// of 10 MiB. There is one RPC, registered without generated code: see frameCodec.
func (s *Server) serve(port net.Listener) {
	// WaitForHandlers makes Stop wait for the handlers. Otherwise streams of the old server could still be open when
	// Restart has started the new server.
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(frameCodec{}), grpc.MaxRecvMsgSize(messageLimit), grpc.ReadBufferSize(256 << 10),
		grpc.InitialWindowSize(s.cfg.Window), grpc.InitialConnWindowSize(2 * s.cfg.Window), grpc.WaitForHandlers(true),
	}
	if s.creds != nil {
		// With TLS, gRPC itself makes the handshake, on the connection from the listener. So a fault cuts the
		// connection below TLS, as a network does.
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.creds)))
	}
	rpc, listen := grpc.NewServer(opts...), newListener(port.Addr(), &s.log)
	rpc.RegisterService(&grpc.ServiceDesc{
		ServiceName: "databricks.zerobus.Zerobus",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "EphemeralStream", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, ss grpc.ServerStream) error { return s.ephemeralStream(ss) },
		}},
	}, s)
	s.mu.Lock()
	s.port, s.rpc, s.listen = port, rpc, listen
	s.mu.Unlock()
	s.readers.Go(func() { _ = rpc.Serve(listen) }) // returns when Stop or GracefulStop is called
}

// CertPool returns a pool that trusts the certificate of a server with [Config.TLS]. It returns nil without TLS.
func (s *Server) CertPool() *x509.CertPool { return s.pool }

// serving returns the gRPC server of the moment. Restart replaces the gRPC server.
func (s *Server) serving() (*grpc.Server, *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rpc, s.listen
}

// DropConnections cuts every TCP connection of the gRPC endpoint. It returns when the streams of these connections
// store nothing any more. Therefore a test can look at the table at once: every record of these streams is in the table
// then, or never will be. The streams are collected first and waited for last. Their readers may still store a request
// that has arrived before the cut, and a test that counted the rows too early would count a record as lost that comes a
// moment later.
func (s *Server) DropConnections() {
	_, l := s.serving()
	if l == nil {
		return
	}
	open := s.log.live("") // before the cut, or a stream that ends at once would be missing
	l.drop()
	for _, st := range open {
		<-st.gone
	}
}

// Restart ends the gRPC server, waits for down, and starts a new gRPC server at the same address. Meanwhile the address
// stays taken, and every connection to it is reset before the server says anything. Tables, tokens and counters stay. A
// graceful Restart first tells the clients to go (GOAWAY) and waits until their streams have ended. Otherwise Restart
// cuts the clients off. If the server is closed meanwhile, Restart returns an error.
func (s *Server) Restart(graceful bool, down time.Duration) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	rpc, _ := s.serving()
	if rpc == nil {
		return errors.New("zerobus server: restart: not started")
	}
	if graceful {
		rpc.GracefulStop()
	} else {
		rpc.Stop()
	}
	wait := time.NewTimer(down)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-s.closing:
	}
	// Checked behind the wait, and not only in the select: both channels may be ready, and select then takes any of
	// them.
	if s.isClosing() { // nobody would end a new gRPC server
		return errors.New("zerobus server: restart: closed")
	}
	s.serve(s.port) // only Start sets port, and only with the turn that we hold
	return nil
}

func (s *Server) isClosing() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Close ends the server and cuts off all clients. A second Close does nothing. The context has ended before the
// Shutdown begins, so nothing is waited for but the goroutines of the server itself.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := s.Shutdown(ctx)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Shutdown waits until the clients have gone, and ends the server. GracefulStop sends GOAWAY, so clients open their
// next stream elsewhere, while open streams go on to their end. If ctx ends first, Shutdown cuts the clients off and
// returns the error of ctx.
func (s *Server) Shutdown(ctx context.Context) (err error) {
	// Also a server that was never started is closed now. A later Start would otherwise serve, and nobody would end
	// it.
	s.closed.Do(func() { close(s.closing) })
	select {
	case s.turn <- struct{}{}:
	// A graceful Restart, or another Shutdown, waits for clients with the turn. Its GracefulStop returns when Stop cuts
	// the clients off. Without this, a Close would wait for clients too.
	case <-ctx.Done():
		if rpc, _ := s.serving(); rpc != nil {
			rpc.Stop()
			err = ctx.Err()
		}
		s.turn <- struct{}{}
	}
	defer func() { <-s.turn }()
	rpc, _ := s.serving()
	if rpc == nil {
		return err
	}
	_ = s.port.Close() // first, so that no connection comes any more; an error means that it is closed already
	drained := make(chan struct{})
	// GracefulStop waits for all streams and knows no context, so GracefulStop runs beside us. If ctx ends, Stop cuts the
	// streams off, and GracefulStop returns too.
	go func() {
		rpc.GracefulStop()
		close(drained)
	}()
	s.mu.Lock()
	// Start sets oauth behind serve, both with the turn held. So a server with an rpc has an oauth here.
	oauth := s.oauth
	s.mu.Unlock()
	// The OAuth endpoint ends while the streams drain. An open stream needs no other token, because the token is
	// checked only when a stream is opened.
	if late := oauth.Shutdown(ctx); late != nil {
		err = late
		_ = oauth.Close() // ctx has ended, so cut off the open requests
	}
	select {
	case <-drained:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
		rpc.Stop()
		<-drained
	}
	// A reader may still store its last request after its RPC has ended. After Shutdown, nothing of the server may
	// run, so that a test can look at the tables and look for leaked goroutines.
	s.readers.Wait()
	return err
}
