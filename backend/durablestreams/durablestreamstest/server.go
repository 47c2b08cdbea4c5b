package durablestreamstest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// root is the path below which the streams are.
const root = "/v1/stream/"

// A Server is a running server. Make one with [New] or [Start].
type Server struct {
	*server.Server

	mu      sync.Mutex
	clients []*durablestreams.Client
}

// New starts a server for the time of a test. It fails the test if it cannot.
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

// Start starts a server for code that has no test at hand. Close it in the end.
func Start(opts ...Option) (*Server, error) {
	c := server.Config{Path: server.Prefix(root)}
	for _, o := range opts {
		o(&c)
	}
	s, err := server.New(c)
	if err != nil {
		return nil, err
	}
	if err := s.Start("127.0.0.1:0"); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return &Server{Server: s}, nil
}

// Handler makes a server over s that is not started, for tests that call it themselves or put something in front of it. The
// path of a URL is the name of its stream, unless [Path] says otherwise. Closing s is up to the caller.
func Handler(s server.Storage, opts ...Option) *server.Server {
	c := server.Config{Storage: s}
	for _, o := range opts {
		o(&c)
	}
	h, err := server.New(c)
	if err != nil {
		panic(err) // New opens no file for a Storage that is given
	}
	return h
}

// Client makes a client of this server. The server closes the client's idle connections when it is closed itself. If opts make
// no client at all, the caller has made a mistake: Client panics.
func (s *Server) Client(opts ...durablestreams.Option) *durablestreams.Client {
	c, err := durablestreams.New(s.URL()+root, opts...)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = append(s.clients, c)
	return c
}

// Close closes the server as its own Close does, and then its clients.
func (s *Server) Close() error {
	defer s.closeClients()
	return s.Server.Close()
}

// Shutdown shuts the server down as its own Shutdown does, and then closes its clients.
func (s *Server) Shutdown(ctx context.Context) error {
	defer s.closeClients()
	return s.Server.Shutdown(ctx)
}

func (s *Server) closeClients() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		_ = c.Close()
	}
	s.clients = nil
}
