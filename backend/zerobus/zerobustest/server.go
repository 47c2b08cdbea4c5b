package zerobustest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// messageLimit is the largest message the gRPC layer reads, so that what exceeds the protocol's 10 MiB is refused as the
// service refuses it and not with gRPC's own RESOURCE_EXHAUSTED.
const messageLimit = 16 << 20

// A Server is a running Zerobus service. All its methods may be called from any goroutine.
type Server struct {
	Endpoint        string // of Zerobus, with scheme and port
	UnityCatalogURL string // with scheme and port

	cfg   *config
	creds *tls.Config // nil: plaintext
	pool  *x509.CertPool
	oauth *http.Server

	readers sync.WaitGroup // that read a stream, which may be a moment longer than its RPC

	turn   chan struct{} // held by Restart and Shutdown, which wait for clients
	rpcMu  sync.Mutex    // serves what follows
	rpc    *grpc.Server
	listen *listener

	tables tables
	tokens tokens
	faults faults
	log    transcripts
}

// New starts a server that ends with the test. What cannot start fails the test.
func New(t testing.TB, opts ...Option) *Server {
	t.Helper()
	s, err := Start(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("zerobustest: close: %v", err)
		}
	})
	return s
}

// Start starts a server. It must be closed.
func Start(opts ...Option) (*Server, error) {
	s := &Server{cfg: complete(opts), turn: make(chan struct{}, 1)}
	if err := s.tables.init(s.cfg); err != nil {
		return nil, fmt.Errorf("zerobustest: start: %w", err)
	}
	scheme := "http://"
	if s.cfg.tls {
		var err error
		if s.creds, s.pool, err = certificate(); err != nil {
			return nil, fmt.Errorf("zerobustest: start: %w", err)
		}
		scheme = "https://"
	}
	s.tokens.init(s.cfg)
	oauth, err := s.cfg.listen(s.cfg.oauthAddr)
	if err != nil {
		return nil, fmt.Errorf("zerobustest: start: %w", err)
	}
	if err := s.serve(s.cfg.grpcAddr); err != nil {
		return nil, errors.Join(fmt.Errorf("zerobustest: start: %w", err), oauth.Close())
	}
	if s.creds != nil {
		oauth = tls.NewListener(oauth, s.creds)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/oidc/v1/token", s.token)
	s.oauth = &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	s.readers.Go(func() { _ = s.oauth.Serve(oauth) }) // always ErrServerClosed: the listener fails only when closed
	s.Endpoint = scheme + s.listen.Addr().String()
	s.UnityCatalogURL = scheme + oauth.Addr().String()
	return s, nil
}

// serve starts the gRPC server.
func (s *Server) serve(addr string) error {
	l, err := s.cfg.listen(addr)
	if err != nil {
		return err
	}
	opts := []grpc.ServerOption{
		grpc.ForceServerCodecV2(frameCodec{}), grpc.MaxRecvMsgSize(messageLimit), grpc.ReadBufferSize(256 << 10),
		grpc.InitialWindowSize(s.cfg.window), grpc.InitialConnWindowSize(2 * s.cfg.window), grpc.WaitForHandlers(true),
	}
	if s.creds != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(s.creds)))
	}
	rpc, listen := grpc.NewServer(opts...), &listener{Listener: l, log: &s.log, open: map[string]net.Conn{}}
	rpc.RegisterService(&grpc.ServiceDesc{
		ServiceName: "databricks.zerobus.Zerobus",
		HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{
			StreamName: "EphemeralStream", ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, ss grpc.ServerStream) error { return s.ephemeralStream(ss, listen) },
		}},
	}, s)
	s.rpcMu.Lock()
	s.rpc, s.listen = rpc, listen
	s.rpcMu.Unlock()
	s.readers.Go(func() { _ = rpc.Serve(listen) }) // ends when it is stopped
	return nil
}

// CertPool trusts the certificate of a server with [TLS]. It is nil without.
func (s *Server) CertPool() *x509.CertPool { return s.pool }

func (s *Server) serving() (*grpc.Server, *listener) {
	s.rpcMu.Lock()
	defer s.rpcMu.Unlock()
	return s.rpc, s.listen
}

// DropConnections cuts every TCP connection of the gRPC endpoint and returns when no stream of them runs any more: what
// they had read is in the table or never will be.
func (s *Server) DropConnections() {
	_, l := s.serving()
	open := s.log.live("")
	l.drop()
	for _, st := range open {
		<-st.gone
	}
}

// Restart ends the gRPC server, waits for down and starts a new one at the same address; tables, tokens and counters stay.
// When graceful it first tells the clients (GOAWAY) and waits for their streams to end; otherwise it cuts them off.
func (s *Server) Restart(graceful bool, down time.Duration) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	rpc, l := s.serving()
	if graceful {
		rpc.GracefulStop()
	} else {
		rpc.Stop()
	}
	time.Sleep(down)
	if err := s.serve(l.Addr().String()); err != nil {
		return fmt.Errorf("zerobustest: restart: %w", err)
	}
	return nil
}

// Close ends the server and cuts off who is connected.
func (s *Server) Close() error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := s.Shutdown(ctx)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Shutdown ends the server when the clients have gone, or with ctx's error when ctx is over, and then they are cut off.
func (s *Server) Shutdown(ctx context.Context) error {
	s.turn <- struct{}{}
	defer func() { <-s.turn }()
	rpc, _ := s.serving()
	drained := make(chan struct{})
	go func() {
		rpc.GracefulStop()
		close(drained)
	}()
	err := s.oauth.Shutdown(ctx)
	if err != nil {
		_ = s.oauth.Close() // ctx is over: what is open is cut off
	}
	select {
	case <-drained:
	case <-ctx.Done():
		err = errors.Join(err, ctx.Err())
		rpc.Stop()
		<-drained
	}
	s.readers.Wait()
	return err
}

// A listener knows the connections it made.
type listener struct {
	net.Listener
	log  *transcripts
	mu   sync.Mutex
	open map[string]net.Conn // by the peer's address
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	l.open[c.RemoteAddr().String()] = c
	l.mu.Unlock()
	l.log.connected()
	return &conn{Conn: c, l: l}, nil
}

// cut resets the connection of a peer: no FIN, no GOAWAY, what was not sent is lost.
func (l *listener) cut(peer string) {
	l.mu.Lock()
	c := l.open[peer]
	l.mu.Unlock()
	if c == nil {
		return
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0) // a polite close is the next best
	}
	_ = c.Close() // fails when it is closed
}

func (l *listener) drop() {
	l.mu.Lock()
	peers := make([]string, 0, len(l.open))
	for p := range l.open {
		peers = append(peers, p)
	}
	l.mu.Unlock()
	for _, p := range peers {
		l.cut(p)
	}
}

// A conn leaves its listener's list when it is closed.
type conn struct {
	net.Conn
	l    *listener
	once sync.Once
}

func (c *conn) Close() error {
	c.once.Do(func() {
		c.l.mu.Lock()
		delete(c.l.open, c.RemoteAddr().String())
		c.l.mu.Unlock()
	})
	return c.Conn.Close()
}
