package zerobus

import (
	"fmt"
	"strings"
	"sync/atomic"
)

// A Client writes to the tables of a workspace as one service principal. Its Sinks share tokens. Its methods may be called
// from any goroutine.
type Client struct {
	name      string // of the endpoint, without secrets
	place     workspace
	cfg       config
	userAgent string
	tokens    *tokens
	closed    atomic.Bool

	// A closure holds the secret. A field would show the secret to whoever prints a Client with %+v.
	secret func() string
}

// New makes a Client, without I/O. It refuses a wrong address, a missing identity and a wrong option.
func New(c Config, opts ...Option) (*Client, error) {
	cfg, err := complete(opts)
	if err != nil {
		return nil, fmt.Errorf("zerobus: %w", err)
	}
	place, err := c.check(cfg.headers != nil)
	if err != nil {
		return nil, fmt.Errorf("zerobus: %w", err)
	}
	secret := c.ClientSecret
	client := &Client{
		name: c.String(), place: place, cfg: cfg, userAgent: strings.TrimSpace("headrace-zerobus " + cfg.userAgent),
		secret: func() string { return secret },
	}
	client.tokens = newTokens(client.mint, cfg.refreshBuffer)
	return client, nil
}

// Table addresses a table by its full name, catalog.schema.table, without I/O. The opening of a stream refuses a wrong name
// or option.
func (c *Client) Table(name string, opts ...TableOption) *Sink {
	s := &Sink{client: c, table: name}
	s.cfg, s.fault = completeTable(opts)
	if s.fault == nil {
		s.fault = checkTable(name)
	}
	return s
}

// Close forgets the tokens. After Close, the opening of a stream fails with [backend.ErrClosed]. Open streams go on until
// their producers are closed. Close always returns nil.
func (c *Client) Close() error {
	c.closed.Store(true)
	c.tokens.clear()
	return nil
}

// String names the endpoint.
func (c *Client) String() string { return c.name }
