package s2test

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/server"
)

// A Server is a running S2. Make one with [New] or [Start].
type Server struct {
	*server.Server

	mu      sync.Mutex
	clients []*s2.Client
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

// Config is that of a client which may do everything.
func (s *Server) Config() s2.Config {
	return s2.Config{Token: s.Token(), AccountEndpoint: s.URL(), BasinEndpoint: s.URL()}
}

// Client makes a client of this server that may do everything. The server closes the client when it is closed itself. If
// opts make no client at all, the caller has made a mistake: Client panics.
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

// Close closes the server as its own Close does, and then its clients.
func (s *Server) Close() error { return errors.Join(s.Server.Close(), s.closeClients()) }

// Shutdown shuts the server down as its own Shutdown does, and then closes its clients.
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
