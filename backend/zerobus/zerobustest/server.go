package zerobustest

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/server"
)

// A Server is a running Zerobus service. Make one with [New] or [Start].
type Server struct {
	*server.Server

	// Endpoint and UnityCatalogURL are the addresses for a [zerobus.Config].
	Endpoint, UnityCatalogURL string

	config server.Config
}

// New starts a server and closes it at the end of the test. If the server cannot start, the test fails.
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

// Start starts a server for code without a testing.TB. Close the server at the end.
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
	return &Server{Server: s, Endpoint: s.URL(), UnityCatalogURL: s.OAuthURL(), config: c}, nil
}

// Client makes a client of this server. The client may write to every table. Client panics if opts are invalid, because
// invalid options are a mistake in the test.
func (s *Server) Client(opts ...zerobus.Option) *zerobus.Client {
	c := zerobus.Config{Endpoint: s.Endpoint, UnityCatalog: s.UnityCatalogURL, ClientID: s.config.ClientID, ClientSecret: s.config.ClientSecret}
	if c.ClientID == "" {
		c.ClientID, c.ClientSecret = "id", "secret"
	}
	web := &http.Transport{DisableKeepAlives: true} // an idle connection would keep goroutines, and the test may count goroutines
	var own []zerobus.Option
	if pool := s.CertPool(); pool != nil {
		web.TLSClientConfig = &tls.Config{RootCAs: pool}
		own = append(own, zerobus.TLS(web.TLSClientConfig))
	}
	if s.config.InMemory {
		web.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return s.Dial(ctx, addr) }
		own = append(own, zerobus.Dial(s.Dial))
	}
	own = append(own, zerobus.HTTP(&http.Client{Transport: web}))
	client, err := zerobus.New(c, append(own, opts...)...)
	if err != nil {
		panic(err)
	}
	return client
}
