package server

import (
	"io"
	"sync"
	"time"
)

// A Config says what a Server serves, and how. The zero Config is good: it has no tables, and every client with an id and a
// secret is issued tokens.
type Config struct {
	// OAuthAddr is where the OAuth endpoint listens, host:port. Default: a free port of 127.0.0.1.
	OAuthAddr string

	// InMemory keeps the server off the network: its endpoints are reached through [Server.Dial] alone. As nothing of it
	// waits for the operating system, it runs in a bubble of testing/synctest, where a day of rotations takes a moment.
	//
	//	zerobus.DialOptions(grpc.WithContextDialer(srv.Dial))
	InMemory bool

	// TLS makes both endpoints speak TLS, with a certificate that [Server.CertPool] trusts.
	TLS bool

	// Tables are declared. A stream on a table that is not declared is refused with NOT_FOUND, unless CreateTables makes
	// the table when the first stream is created on it.
	Tables       []Table
	CreateTables bool

	// DiscardRows keeps no rows: they are counted and forgotten. For benchmarks and long runs.
	DiscardRows bool

	// CountDuplicates counts the rows whose bytes the table had stored before, for [Stats]. It keeps a hash of 8 bytes for
	// each of them, in a map that is about twice as large.
	CountDuplicates bool

	// RowLog is written every row as a line of JSON before the row is acknowledged. When RowLog fails, so does the
	// request, with INTERNAL.
	RowLog io.Writer

	// Tap is shown every row that is stored, before it is acknowledged: the rows of a request at once, the requests of a
	// stream in order, several streams at the same time. The slice is used again when Tap has returned. The values may be
	// kept, unless the server has DiscardRows.
	Tap func(table string, rows []Row)

	// Workspace is the workspace id that a token must be asked for. Default: any.
	Workspace string

	// ClientID and ClientSecret are those of the only client that is issued tokens. Default: any client with both.
	ClientID, ClientSecret string

	// Tokens are valid for every table for ever, for clients that bring their own. AnyToken accepts every bearer token.
	Tokens   []string
	AnyToken bool

	// TokenLife is how long tokens live. Default: an hour; below 0, they are expired when they are issued. A token is
	// looked at only when a stream is created.
	TokenLife time.Duration

	// Acks says when requests are acknowledged. Default: [AckEach].
	Acks AckPolicy

	// Lifetime rotates streams: after Lifetime each stream gets a close signal of the given Notice. When the notice is
	// over and the client has not gone, AtEnd ends the stream, by default [EOF]. A Lifetime of 0 rotates nothing.
	Lifetime, Notice time.Duration
	AtEnd            Effect

	// Window is the flow-control window of a stream in bytes, at least 64 KiB. Default: 4 MiB. It is how much a client can
	// send while the server does not read.
	Window int32
}

// A Table is catalog.schema.table. Without columns it accepts every JSON object, and every record of a PROTO stream.
type Table struct {
	Name    string
	Columns []Column
}

// config is a Config that is complete, with what serves it.
type config struct {
	Config
	pipes    *pipes     // nil: TCP
	rowLogMu sync.Mutex // several tables write to RowLog at the same time
}

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
	full := &config{Config: c}
	if c.InMemory {
		full.pipes = &pipes{open: map[string]*pipeListener{}}
	}
	return full
}

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
