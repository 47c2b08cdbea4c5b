package zerobustest

import (
	"io"
	"sync"
	"time"
)

// An Option sets up a server.
type Option func(*config)

type config struct {
	grpcAddr, oauthAddr string
	pipes               *pipes // nil: TCP
	tls                 bool
	tables              map[string][]Column
	createTables        bool
	discardRows         bool
	countDuplicates     bool
	rowLog              io.Writer
	rowLogMu            sync.Mutex // the tables are locked apart
	tap                 func(table string, rows []Row)
	workspace           string
	clientID, secret    string
	tokens              []string
	anyToken            bool
	tokenLife           time.Duration
	acks                AckPolicy
	life, notice        time.Duration
	atEnd               Action
	window              int32
}

func complete(opts []Option) *config {
	c := &config{grpcAddr: "127.0.0.1:0", oauthAddr: "127.0.0.1:0", tables: map[string][]Column{}, tokenLife: time.Hour, acks: AckEach(), window: 4 << 20}
	for _, o := range opts {
		o(c)
	}
	return c
}

// Addr is where the gRPC endpoint listens, host:port. Default: a free port of 127.0.0.1.
func Addr(hostport string) Option { return func(c *config) { c.grpcAddr = hostport } }

// OAuthAddr is where the OAuth endpoint listens, host:port. Default: a free port of 127.0.0.1.
func OAuthAddr(hostport string) Option { return func(c *config) { c.oauthAddr = hostport } }

// TLS makes both endpoints speak TLS, with a certificate that [Server.CertPool] trusts.
func TLS() Option { return func(c *config) { c.tls = true } }

// Table declares a table catalog.schema.table. Without columns it takes every JSON object, and every record of a PROTO stream.
func Table(name string, columns ...Column) Option {
	return func(c *config) { c.tables[name] = columns }
}

// CreateTables makes a table that is not declared when a stream is first created on it. Without it that is NOT_FOUND.
func CreateTables() Option { return func(c *config) { c.createTables = true } }

// DiscardRows keeps no rows: they are counted and forgotten. For benchmarks and long runs.
func DiscardRows() Option { return func(c *config) { c.discardRows = true } }

// CountDuplicates counts the rows whose bytes the table had stored before, for [Stats]. It keeps a hash of 8 bytes for each of
// them, in a map that is about twice as large.
func CountDuplicates() Option { return func(c *config) { c.countDuplicates = true } }

// RowLog writes every row to w as a line of JSON before it is acknowledged. When w fails, so does the request, with
// INTERNAL.
func RowLog(w io.Writer) Option { return func(c *config) { c.rowLog = w } }

// Tap shows f every row that is stored, before it is acknowledged: those of a request at once, those of a stream in order,
// those of several streams at the same time. The slice is used again when f has returned; the values are f's for good
// unless the server has [DiscardRows].
func Tap(f func(table string, rows []Row)) Option { return func(c *config) { c.tap = f } }

// Workspace is the workspace id that a token must be asked for. Default: any.
func Workspace(id string) Option { return func(c *config) { c.workspace = id } }

// Client is the only client that is issued tokens. Default: any client with an id and a secret.
func Client(id, secret string) Option { return func(c *config) { c.clientID, c.secret = id, secret } }

// Token is a token that is valid for every table for ever, for clients that bring their own.
func Token(token string) Option { return func(c *config) { c.tokens = append(c.tokens, token) } }

// AnyToken takes every bearer token.
func AnyToken() Option { return func(c *config) { c.anyToken = true } }

// TokenLife is how long tokens live. Default: an hour. A token is looked at only when a stream is created.
func TokenLife(d time.Duration) Option { return func(c *config) { c.tokenLife = d } }

// Acks says when requests are acknowledged. Default: [AckEach].
func Acks(p AckPolicy) Option { return func(c *config) { c.acks = p } }

// Lifetime rotates: each stream gets a close signal of the given notice after life, and ends with the action when the
// notice is over and the client has not gone ([EOF] or [Fail], say).
func Lifetime(life, notice time.Duration, end Action) Option {
	return func(c *config) { c.life, c.notice, c.atEnd = life, notice, end }
}

// Window is the flow-control window of a stream in bytes, at least 64 KiB. Default: 4 MiB. It is how much a client can
// send while the server does not read.
func Window(n int32) Option { return func(c *config) { c.window = n } }

// An AckPolicy says when requests are acknowledged. Acks are cumulative.
type AckPolicy struct {
	every int
	after time.Duration
	never bool
}

// AckEach acknowledges each request when it is stored.
func AckEach() AckPolicy { return AckPolicy{every: 1} }

// AckEvery acknowledges every nth request, and what is left over when the oldest of it has waited for d.
func AckEvery(n int, d time.Duration) AckPolicy { return AckPolicy{every: max(n, 1), after: d} }

// AckAfter acknowledges each request d after it was stored.
func AckAfter(d time.Duration) AckPolicy { return AckPolicy{after: d} }

// AckNever acknowledges nothing, also not at the end.
func AckNever() AckPolicy { return AckPolicy{never: true} }
