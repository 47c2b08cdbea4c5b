package zerobustest

import (
	"io"
	"time"

	"github.com/headrace/headrace/backend/zerobus/server"
)

// An Option sets a field of the server's [server.Config]. See there for the defaults.
type Option func(*server.Config)

// InMemory keeps the server off the network, for bubbles of testing/synctest.
func InMemory() Option { return func(c *server.Config) { c.InMemory = true } }

// TLS makes both endpoints speak TLS, with a certificate that the server's CertPool trusts.
func TLS() Option { return func(c *server.Config) { c.TLS = true } }

// Table declares a table catalog.schema.table.
func Table(name string, columns ...Column) Option {
	return func(c *server.Config) { c.Tables = append(c.Tables, server.Table{Name: name, Columns: columns}) }
}

// CreateTables makes a table that is not declared when a stream is first created on it.
func CreateTables() Option { return func(c *server.Config) { c.CreateTables = true } }

// DiscardRows keeps no rows.
func DiscardRows() Option { return func(c *server.Config) { c.DiscardRows = true } }

// CountDuplicates counts the rows whose bytes the table had stored before.
func CountDuplicates() Option { return func(c *server.Config) { c.CountDuplicates = true } }

// RowLog writes every row to w as a line of JSON before it is acknowledged.
func RowLog(w io.Writer) Option { return func(c *server.Config) { c.RowLog = w } }

// Tap shows f every row that is stored, before it is acknowledged.
func Tap(f func(table string, rows []Row)) Option { return func(c *server.Config) { c.Tap = f } }

// Workspace is the workspace id that a token must be asked for.
func Workspace(id string) Option { return func(c *server.Config) { c.Workspace = id } }

// Client is the only client that is issued tokens.
func Client(id, secret string) Option {
	return func(c *server.Config) { c.ClientID, c.ClientSecret = id, secret }
}

// Token is a token that is valid for every table for ever.
func Token(token string) Option { return func(c *server.Config) { c.Tokens = append(c.Tokens, token) } }

// AnyToken accepts every bearer token.
func AnyToken() Option { return func(c *server.Config) { c.AnyToken = true } }

// TokenLife is how long tokens live. 0 is not at all.
func TokenLife(d time.Duration) Option {
	if d == 0 {
		d = -1 // 0 in a Config is the default
	}
	return func(c *server.Config) { c.TokenLife = d }
}

// Acks says when requests are acknowledged.
func Acks(p AckPolicy) Option { return func(c *server.Config) { c.Acks = p } }

// Lifetime rotates: each stream gets a close signal of the given notice after life, and ends with the effect when the notice
// is over and the client has not gone.
func Lifetime(life, notice time.Duration, end Effect) Option {
	return func(c *server.Config) { c.Lifetime, c.Notice, c.AtEnd = life, notice, end }
}

// Window is the flow-control window of a stream in bytes.
func Window(n int32) Option { return func(c *server.Config) { c.Window = n } }
