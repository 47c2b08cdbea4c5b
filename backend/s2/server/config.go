package server

import (
	"math/rand/v2"
	"time"
)

// A Config says what a Server serves. The zero Config is good: everything is kept in memory, and every token is accepted.
type Config struct {
	// Token is the access token that may do everything. "" accepts every bearer token as one that may do everything,
	// except tokens that the server has issued with a scope, or revoked. A request without a token is always refused.
	Token string

	// Data is the file in which everything is kept, over restarts. "" keeps everything in memory.
	Data string

	// Basins are created when the server is made, if they do not exist.
	Basins []Basin

	// Clock tells the time for the arrival of records, trims, deletions, retention and the expiry of tokens. It is called
	// from many goroutines, with locks held. Heartbeats and waits go by the real time. Default: time.Now.
	Clock func() time.Time

	// TrimDelay is how long after its append a trim takes effect, because the trims of S2 are eventual. Default: 50 ms.
	// Below 0, a trim takes effect at once.
	TrimDelay time.Duration

	// PurgeAfter is how long a deleted stream or basin stays in the state of deletion, in which its name cannot be used.
	// Default: 2 s. Below 0, the name is free at once.
	PurgeAfter time.Duration

	// HeartbeatLeast and HeartbeatMost bound how long a read session that waits at the tail stays silent. Each heartbeat
	// comes after a random time between the two. Default: 5 s and 15 s, as S2 does.
	HeartbeatLeast, HeartbeatMost time.Duration

	// Retain is how many encoded bytes a stream keeps in memory: older batches are dropped, as retention would drop them.
	// 0 keeps everything. A server with Data ignores Retain.
	Retain int

	// CountDuplicates makes the server count batches that hold the same records as an earlier batch of the same stream,
	// for [Stats]. That costs a hash of every batch, and eight bytes for each of them.
	CountDuplicates bool
}

// A Basin is created with the server. With AutoCreate, appends and reads create the streams that they name.
type Basin struct {
	Name       string
	AutoCreate bool
}

// complete fills in what c does not say.
func (c Config) complete() Config {
	if c.Clock == nil {
		c.Clock = time.Now
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

func (c *Config) nextHeartbeat() time.Duration {
	return c.HeartbeatLeast + rand.N(c.HeartbeatMost-c.HeartbeatLeast+1)
}
