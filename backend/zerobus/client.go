package zerobus

import (
	"log/slog"
	"strings"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// A Config says which workspace to write to, and as whom.
type Config struct {
	// Endpoint of Zerobus Ingest: https://<workspace id>.zerobus.<region>.cloud.databricks.com. Without a scheme it is https;
	// http goes without TLS, for tests. dns:///… and passthrough:///… are gRPC's.
	Endpoint string

	// UnityCatalog is the URL of the workspace, which mints the tokens: https://<workspace>.cloud.databricks.com.
	UnityCatalog string

	// ClientID and ClientSecret are a service principal's. It needs USE CATALOG, USE SCHEMA, and SELECT and MODIFY on the
	// table.
	ClientID, ClientSecret string

	// WorkspaceID is what tokens are asked for. Empty: the first label of the Endpoint's host.
	WorkspaceID string
}

// String names the endpoint and keeps the secret, and what an Endpoint has before an @, which is none and is refused.
func (c Config) String() string {
	return "zerobus:" + c.Endpoint[strings.LastIndexByte(c.Endpoint, '@')+1:]
}

// GoString is String, so that no way of printing shows the secret.
func (c Config) GoString() string { return c.String() }

// LogValue is String, also for logs in JSON.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// A Client is a workspace and who writes to it. Its Sinks share tokens. It holds no connection that no stream needs, so it
// needs no closing.
type Client struct {
	config Config // without the secret
	opts   []Option
	tokens *tokens
	shared *connections

	// The secret sits in a closure, so that printing a Client, however deep, does not print it.
	secret func() string
}

// New makes a Client. It does no I/O; what is wrong with c is said when a stream is opened.
func New(c Config, opts ...Option) *Client {
	secret := c.ClientSecret
	c.ClientSecret = ""
	return &Client{config: c, opts: opts, tokens: newTokens(), shared: &connections{}, secret: func() string { return secret }}
}

// Table addresses a table by its full name, catalog.schema.table. The options go behind those of the Client.
func (c *Client) Table(name string, opts ...Option) *Sink {
	s := &Sink{client: c, table: name, cfg: defaults(), shared: c.shared}
	if len(opts) > 0 {
		s.shared = &connections{} // they may be about connections
	}
	for _, o := range append(c.opts[:len(c.opts):len(c.opts)], opts...) {
		o(&s.cfg)
	}
	return s
}

// Table addresses a table by its full name, catalog.schema.table, with a Client of its own.
func Table(name string, c Config, opts ...Option) *Sink { return New(c, opts...).Table(name) }

// A Sink is a table. Any number of producers may write to it, each over streams of its own. It cannot be read: it is no
// backend.Source.
type Sink struct {
	client *Client
	table  string
	cfg    config
	shared *connections
}

// String names the endpoint and the table.
func (s *Sink) String() string { return s.client.config.String() + "/" + s.table }

// NewAppender makes one producer's way in. Formats that a table does not take are refused when it is opened.
func (s *Sink) NewAppender(f backend.Format) backend.Appender {
	d := s.newDialer(f)
	return appender{Appender: backend.Pipelined(s.label(), d), kind: d.kind}
}

// label begins the errors about the table.
func (s *Sink) label() string { return "zerobus: " + httpwire.Clip(s.table) }
