package durablestreamstest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/backend/durablestreams/server"
)

// root is the path of the URL of every stream, in front of the name of the stream.
const root = "/v1/stream/"

// A Server is a running server. Make it with [New] or [Start].
type Server struct {
	*server.Server

	mu      sync.Mutex
	clients []*durablestreams.Client
}

// New starts a server, and closes it at the end of the test. If the server cannot start, New fails the test.
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

// Start starts a server for code that has no testing.TB. The caller must close the server in the end.
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

// Handler makes a server over s that is not started, for tests that call the server themselves or put something in
// front of the server. The path of a URL is the name of its stream, unless [Path] says otherwise. The caller closes s.
func Handler(s server.Storage, opts ...Option) *server.Server {
	c := server.Config{Storage: s}
	for _, o := range opts {
		o(&c)
	}
	h, err := server.New(c)
	if err != nil {
		panic(err) // cannot happen: New opens no file if the Config has a Storage
	}
	return h
}

// Client makes a client of this server. When the server is closed, it closes the idle connections of the client. Client
// panics if opts are invalid, because that is a mistake of the caller.
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

// Close closes the server: see [server.Server.Close]. Then it closes the clients.
func (s *Server) Close() error {
	defer s.closeClients()
	return s.Server.Close()
}

// Shutdown shuts the server down: see [server.Server.Shutdown]. Then it closes the clients.
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
