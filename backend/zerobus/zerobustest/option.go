package zerobustest

import (
	"io"
	"time"

	"github.com/headrace/headrace/backend/zerobus/server"
)

// An Option sets a field of the [server.Config]. Package server documents the defaults.
type Option func(*server.Config)

// InMemory keeps the server off the network, for tests in a bubble of testing/synctest.
func InMemory() Option { return func(c *server.Config) { c.InMemory = true } }

// TLS makes both endpoints speak TLS, with a certificate that the server's CertPool trusts.
func TLS() Option { return func(c *server.Config) { c.TLS = true } }

// Table declares a table catalog.schema.table.
func Table(name string, columns ...Column) Option {
	return func(c *server.Config) { c.Tables = append(c.Tables, server.Table{Name: name, Columns: columns}) }
}

// CreateTables makes an undeclared table when a client creates the first stream on the table.
func CreateTables() Option { return func(c *server.Config) { c.CreateTables = true } }

// DiscardRows counts rows and does not keep them.
func DiscardRows() Option { return func(c *server.Config) { c.DiscardRows = true } }

// CountDuplicates counts the rows that have the same bytes as an earlier row of the table.
func CountDuplicates() Option { return func(c *server.Config) { c.CountDuplicates = true } }

// RowLog writes every row to w as a line of JSON, before the server acknowledges the row.
func RowLog(w io.Writer) Option { return func(c *server.Config) { c.RowLog = w } }

// Tap calls f with every stored row, before the server acknowledges the row.
func Tap(f func(table string, rows []Row)) Option { return func(c *server.Config) { c.Tap = f } }

// Workspace sets the workspace id that clients must name when they ask for a token.
func Workspace(id string) Option { return func(c *server.Config) { c.Workspace = id } }

// Client sets the credentials of the only client that gets tokens.
func Client(id, secret string) Option {
	return func(c *server.Config) { c.ClientID, c.ClientSecret = id, secret }
}

// Token adds a bearer token that is valid for every table and never expires.
func Token(token string) Option { return func(c *server.Config) { c.Tokens = append(c.Tokens, token) } }

// AnyToken accepts every bearer token.
func AnyToken() Option { return func(c *server.Config) { c.AnyToken = true } }

// TokenLife sets how long tokens are valid. With 0, tokens have expired when they are issued.
func TokenLife(d time.Duration) Option {
	if d == 0 {
		d = -1 // in a Config, 0 means the default
	}
	return func(c *server.Config) { c.TokenLife = d }
}

// Acks sets when the server acknowledges requests.
func Acks(p AckPolicy) Option { return func(c *server.Config) { c.Acks = p } }

// Lifetime rotates streams: at the age life, each stream gets a close signal with the given notice. If the client has
// not gone when the notice is over, the effect end ends the stream.
func Lifetime(life, notice time.Duration, end Effect) Option {
	return func(c *server.Config) { c.Lifetime, c.Notice, c.AtEnd = life, notice, end }
}

// Window sets the flow-control window of a stream in bytes.
func Window(n int32) Option { return func(c *server.Config) { c.Window = n } }
