package server

import (
	"io"
	"log/slog"
	"sync"
	"time"
)

// A Config says which tables a Server has, and how the Server behaves. The zero Config is usable: it has no tables, and
// every client with an id and a secret gets tokens.
type Config struct {
	// OAuthAddr is where the OAuth endpoint listens, host:port. Default: a free port of 127.0.0.1.
	OAuthAddr string

	// InMemory keeps the server off the network. Clients reach its endpoints only through [Server.Dial]. Such a server
	// never waits for the operating system, and therefore works in a bubble of testing/synctest, where a day of
	// rotations takes a moment.
	//
	//	zerobus.Dial(srv.Dial)
	InMemory bool

	// TLS makes both endpoints speak TLS, with a certificate that [Server.CertPool] trusts.
	TLS bool

	// Tables are the declared tables. A stream on an undeclared table is refused with NOT_FOUND. With CreateTables, the
	// first stream on an undeclared table makes the table instead.
	Tables       []Table
	CreateTables bool

	// DiscardRows counts rows and does not keep them. Use it for benchmarks and long runs, because rows fill the
	// memory.
	DiscardRows bool

	// CountDuplicates counts in [Stats] how many rows had the same bytes as an earlier row of the table. It keeps a
	// hash of 8 bytes for each different row, in a map about twice as large as its hashes.
	CountDuplicates bool

	// RowLog receives every row as a line of JSON, before the server acknowledges the row. If RowLog returns an error,
	// the server refuses the request with INTERNAL, and Logger gets the error.
	RowLog io.Writer

	// Tap receives every stored row, before the server acknowledges the row. One call gets all rows of a request. The
	// calls of one stream come in order, and several streams call Tap at the same time. The server uses the slice again
	// after Tap has returned. Tap may keep the values of the rows, except with DiscardRows.
	Tap func(table string, rows []Row)

	// Workspace is the workspace id that clients must name when they ask for a token. Default: any id.
	Workspace string

	// ClientID and ClientSecret are the credentials of the only client that gets tokens. Default: every client with an
	// id and a secret gets tokens.
	ClientID, ClientSecret string

	// Tokens are bearer tokens that never expire and are valid for every table, for clients with tokens of their own.
	// AnyToken accepts every bearer token.
	Tokens   []string
	AnyToken bool

	// TokenLife is how long an issued token is valid. Default: an hour. With a value below 0, tokens have expired when
	// they are issued. As at the service, a token is checked only when a stream is created.
	TokenLife time.Duration

	// Acks says when the server acknowledges requests. Default: [AckEach].
	Acks AckPolicy

	// Lifetime is the age at which a stream is rotated: the stream gets a close signal with the given Notice. If the
	// client has not gone when the notice is over, AtEnd ends the stream. Default of AtEnd: [EOF]. With a Lifetime of
	// 0, streams are not rotated.
	Lifetime, Notice time.Duration
	AtEnd            Effect

	// Window is the flow-control window of a stream in bytes, at least 64 KiB. Default: 4 MiB. A client can send so
	// many bytes while the server does not read.
	Window int32

	// Logger gets the cause of each refusal with INTERNAL, for example a full disk under RowLog. The client does not
	// get the cause, because the cause may name files. Other refusals are not logged: their text says everything, and a
	// client could fill the log with them. Default: [slog.Default].
	Logger *slog.Logger
}

// A Table is a table with the name catalog.schema.table. A Table without columns accepts every JSON object, and every
// record of a PROTO stream.
type Table struct {
	Name    string
	Columns []Column
}

// config is a Config with all defaults filled in, and with the state that all parts of a server share.
type config struct {
	Config
	pipes    *pipes     // nil: TCP
	rowLogMu sync.Mutex // held for each write to RowLog, because several tables write to it
}

// complete fills in the defaults. The Config is a copy, so the caller may use its own again.
func (c Config) complete() *config {
	if c.OAuthAddr == "" {
		c.OAuthAddr = "127.0.0.1:0"
	}
	if c.TokenLife == 0 {
		c.TokenLife = time.Hour
	}
	c.TokenLife = max(c.TokenLife, 0)
	if c.Acks == (AckPolicy{}) {
		c.Acks = AckEach()
	}
	if c.AtEnd.run == nil {
		c.AtEnd = EOF()
	}
	if c.Window == 0 {
		c.Window = 4 << 20
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	full := &config{Config: c}
	if c.InMemory {
		full.pipes = &pipes{open: map[string]*pipeListener{}}
	}
	return full
}

// An AckPolicy says when a server acknowledges requests. An ack covers all requests up to its offset.
type AckPolicy struct {
	every int
	after time.Duration
	never bool
}

// AckEach acknowledges each request as soon as the request is stored.
func AckEach() AckPolicy { return AckPolicy{every: 1} }

// AckEvery acknowledges every nth request. If fewer requests follow, it acknowledges them when the oldest has waited
// for d.
func AckEvery(n int, d time.Duration) AckPolicy { return AckPolicy{every: max(n, 1), after: d} }

// AckAfter acknowledges each request d after it was stored.
func AckAfter(d time.Duration) AckPolicy { return AckPolicy{after: d} }

// AckNever acknowledges nothing, even when the client has sent everything.
func AckNever() AckPolicy { return AckPolicy{never: true} }
