package s2test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/server"
)

// A Server is a running S2 server. Make it with [New] or [Start].
type Server struct {
	*server.Server

	mu      sync.Mutex
	clients []*s2.Client
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
	var c server.Config
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

// Config returns the config of a client that may do everything.
func (s *Server) Config() s2.Config {
	return s2.Config{Token: s.Token(), AccountEndpoint: s.URL(), BasinEndpoint: s.URL()}
}

// Client makes a client of this server that may do everything. When the server is closed, the server closes the client.
// Client panics on invalid opts, because invalid opts are a mistake of the caller.
func (s *Server) Client(opts ...s2.Option) *s2.Client {
	c, err := s2.New(s.Config(), opts...)
	if err != nil {
		panic(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clients = append(s.clients, c)
	return c
}

// Close closes the server: see [server.Server.Close]. Then it closes the clients.
func (s *Server) Close() error { return errors.Join(s.Server.Close(), s.closeClients()) }

// Shutdown shuts the server down: see [server.Server.Shutdown]. Then it closes the clients.
func (s *Server) Shutdown(ctx context.Context) error {
	return errors.Join(s.Server.Shutdown(ctx), s.closeClients())
}

func (s *Server) closeClients() (err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		err = errors.Join(err, c.Close())
	}
	s.clients = nil
	return err
}
