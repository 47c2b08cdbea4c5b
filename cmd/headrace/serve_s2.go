package main

import (
	"errors"
	"fmt"
	"path/filepath"

	s2server "github.com/headrace/headrace/backend/s2/server"
	"github.com/headrace/headrace/observe"
)

// startS2 serves S2. The account and its basins share one address. Clients find the basin by the header s2-basin, as
// with every S2 server on a single host.
func startS2(c *serveCmd) (server, error) {
	config := s2server.Config{Token: c.S2Token, Retain: c.S2Retain}
	if c.Data != "" {
		// The name must not change: a server that does not find its file begins empty, and nobody would be told.
		config.Data = filepath.Join(c.Data, "s2.db")
	}
	s, err := s2server.New(config)
	if err != nil {
		return nil, err
	}
	if err := s.Start(c.S2); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s2Server{s, c.S2Token}, nil
}

// The token is kept for the hint alone: the server gives out a token, and not whether any other would do.
type s2Server struct {
	*s2server.Server
	token string
}

func (s s2Server) Address() string { return s.URL() }

// numbers gives the counts of the server the names of the page.
func (s s2Server) numbers() observe.Server {
	n := s.Stats()
	return observe.Server{
		Calls: n.Calls, Open: n.Open, Streams: n.Streams, Appends: n.Batches, Records: n.Records, Bytes: n.Bytes, ReadBytes: n.ReadBytes,
		Faults: n.Faults,
	}
}

// s2Hint is the line for a shell, and a command that makes a first stream. A server without a token accepts every
// token, but a client must send one.
func s2Hint(s server) string {
	token := s.(s2Server).token
	if token == "" {
		token = "any"
	}
	return fmt.Sprintf("  export S2_ACCESS_TOKEN=%s S2_ACCOUNT_ENDPOINT=%s S2_BASIN_ENDPOINT=%s\n  headrace create --basin s2://development/orders",
		token, s.Address(), s.Address())
}
