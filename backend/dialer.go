package backend

import "context"

// A Dialer makes the connections of one producer, one after another. State that outlives a connection, for example a claim
// or an expected position, belongs into the Dialer.
type Dialer interface {
	// Limits returns the limits of the [Appender] that [Pipelined] makes.
	Limits() Limits

	// Dial makes a connection. The first batch written to the connection has the given seq. ctx bounds Dial alone, and not
	// the life of the connection. Dial is called only after the previous Conn was closed.
	Dial(ctx context.Context, seq uint64) (Conn, error)
}
