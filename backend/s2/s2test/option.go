package s2test

import (
	"math/rand/v2"
	"time"
)

// An Option changes what [New] and [Start] make.
type Option func(*config)

type config struct {
	addr       string
	token      string
	data       string
	now        func() time.Time
	trimDelay  time.Duration
	purgeAfter time.Duration
	heartbeat  [2]time.Duration
	retain     int
	duplicates bool
	auto       bool
	basins     []string
}

func newConfig(opts []Option) config {
	c := config{
		addr:       "127.0.0.1:0",
		now:        time.Now,
		trimDelay:  50 * time.Millisecond,
		purgeAfter: 2 * time.Second,
		heartbeat:  [2]time.Duration{5 * time.Second, 15 * time.Second},
	}
	for _, o := range opts {
		o(&c)
	}
	return c
}

// Addr is where to listen. Default "127.0.0.1:0": a free port of the loopback.
func Addr(hostport string) Option { return func(c *config) { c.addr = hostport } }

// Token is the access token that may do everything. By default every bearer token may, apart from those that were issued
// with a scope of their own or revoked; a request without a token is refused either way.
func Token(secret string) Option { return func(c *config) { c.token = secret } }

// Data keeps everything in the file given, over restarts. By default it is kept in memory.
func Data(file string) Option { return func(c *config) { c.data = file } }

// Basin creates a basin when the server starts, if there is none of that name. With auto, appends and reads create the
// streams that they name.
func Basin(name string, auto bool) Option {
	return func(c *config) {
		c.basins = append(c.basins, name)
		c.auto = c.auto || auto
	}
}

// Clock tells the time that records arrive at and that trims, deletions, retention and the expiry of tokens go by.
// Default time.Now. It is called from many goroutines, with locks held. Heartbeats and waits go by the real clock.
func Clock(now func() time.Time) Option { return func(c *config) { c.now = now } }

// TrimDelay is how long after its append a trim takes effect. Default 50 ms: a trim is eventual.
func TrimDelay(d time.Duration) Option { return func(c *config) { c.trimDelay = d } }

// PurgeAfter is how long a deleted stream or basin stays in the state of deletion, in which its name cannot be used.
// Default 2 s.
func PurgeAfter(d time.Duration) Option { return func(c *config) { c.purgeAfter = d } }

// Heartbeat is how long a session that follows stays silent: a random time between the two. Default 5 s to 15 s.
func Heartbeat(least, most time.Duration) Option {
	return func(c *config) { c.heartbeat = [2]time.Duration{least, max(least, most)} }
}

// Retain drops the oldest batches of a stream when it holds more than so many encoded bytes, as retention would. It keeps
// long benchmarks small. Default 0: all are kept. Ignored with [Data].
func Retain(bytes int) Option { return func(c *config) { c.retain = bytes } }

// Duplicates makes the server count batches that hold the same records as an earlier one of the same stream. It costs
// a hash of every batch and eight bytes for each.
func Duplicates() Option { return func(c *config) { c.duplicates = true } }

func (c *config) nextHeartbeat() time.Duration {
	return c.heartbeat[0] + rand.N(c.heartbeat[1]-c.heartbeat[0]+1)
}
