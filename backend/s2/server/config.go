package server

import (
	"log/slog"
	"math/rand/v2"
	"time"
)

// A Config says what a Server serves. The zero Config is usable: the server keeps everything in memory and accepts
// every token.
type Config struct {
	// Token is the access token that may do everything. If Token is "", every bearer token may do everything, except a
	// token that the server has issued with a scope or has revoked. The server always refuses a request without a
	// token.
	Token string

	// Data is the path of the file in which the server keeps everything, also over restarts. If Data is "", the server
	// keeps everything in memory.
	Data string

	// Basins are created when the server is made, if they do not exist.
	Basins []Basin

	// Clock tells the time for the arrival of records, trims, deletions, retention and the expiry of tokens. The server
	// calls Clock from many goroutines, with locks held, so Clock must not call the server. Heartbeats and waits use
	// the real time. Default: time.Now.
	Clock func() time.Time

	// TrimDelay is the time from the append of a trim command until the trim takes effect. S2 has such a delay too.
	// Default: 50 ms. A negative TrimDelay makes a trim take effect at once.
	TrimDelay time.Duration

	// PurgeAfter is the time during which the name of a deleted stream or basin cannot be used again. Default: 2 s. A
	// negative PurgeAfter frees the name at once.
	PurgeAfter time.Duration

	// HeartbeatLeast and HeartbeatMost bound the time between two heartbeats of a read session that waits at the tail.
	// Each time is random between the two bounds. Default: 5 s and 15 s, as S2 does.
	HeartbeatLeast, HeartbeatMost time.Duration

	// Retain is how many encoded bytes a stream keeps in memory. When a stream holds more, the server drops its oldest
	// batches, as retention by age would. 0 keeps everything. A server with Data ignores Retain.
	Retain int

	// CountDuplicates makes the server count the batches that hold the same records as an earlier batch of the same
	// stream: see [Stats.Duplicates]. Counting costs a hash of every batch, and eight bytes of memory for each batch.
	CountDuplicates bool

	// Logger gets the cause of each failure of the storage, for example a damaged file or a full disk. The client does
	// not get the cause, because the cause may name files. Refusals of wrong requests are not logged: their answer says
	// everything, and a client could fill the log with them. Default: [slog.Default].
	Logger *slog.Logger
}

// A Basin is created when the server is made. With AutoCreate, an append to or a read of a missing stream creates the
// stream.
type Basin struct {
	Name       string
	AutoCreate bool
}

// complete returns c with the defaults in place of the fields that are not set.
func (c Config) complete() Config {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	orDefault := func(d *time.Duration, otherwise time.Duration) {
		if *d == 0 {
			*d = otherwise
		}
		*d = max(*d, 0)
	}
	orDefault(&c.TrimDelay, 50*time.Millisecond)
	orDefault(&c.PurgeAfter, 2*time.Second)
	if c.HeartbeatLeast == 0 && c.HeartbeatMost == 0 {
		c.HeartbeatLeast, c.HeartbeatMost = 5*time.Second, 15*time.Second
	}
	c.HeartbeatMost = max(c.HeartbeatMost, c.HeartbeatLeast)
	return c
}

// nextHeartbeat is random, so that sessions which began together do not send all their heartbeats together for ever.
func (c *Config) nextHeartbeat() time.Duration {
	return c.HeartbeatLeast + rand.N(c.HeartbeatMost-c.HeartbeatLeast+1)
}
