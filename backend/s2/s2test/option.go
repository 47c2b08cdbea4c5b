package s2test

import (
	"time"

	"github.com/headrace/headrace/backend/s2/server"
)

// An Option sets a field of [server.Config]. The defaults are documented there.
type Option func(*server.Config)

// Basin creates a basin when the server is made. With auto, an append to or a read of a missing stream creates the
// stream.
func Basin(name string, auto bool) Option {
	return func(c *server.Config) { c.Basins = append(c.Basins, server.Basin{Name: name, AutoCreate: auto}) }
}

// Token sets the access token that may do everything. Without Token, every bearer token may do everything.
func Token(secret string) Option { return func(c *server.Config) { c.Token = secret } }

// Data makes the server keep everything in a file, also over restarts. Without Data, the server keeps everything in
// memory.
func Data(file string) Option { return func(c *server.Config) { c.Data = file } }

// Clock sets the clock of the server. The server calls now from many goroutines, with locks held, so now must not call
// the server.
func Clock(now func() time.Time) Option { return func(c *server.Config) { c.Clock = now } }

// TrimDelay is the time from the append of a trim command until the trim takes effect. 0 means at once.
func TrimDelay(d time.Duration) Option {
	return func(c *server.Config) { c.TrimDelay = orAtOnce(d) }
}

// PurgeAfter is the time during which a deleted name cannot be used again. 0 frees the name at once.
func PurgeAfter(d time.Duration) Option {
	return func(c *server.Config) { c.PurgeAfter = orAtOnce(d) }
}

// orAtOnce returns -1 for 0, because 0 in a Config means the default and a negative value means at once.
func orAtOnce(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// Heartbeat bounds the time between two heartbeats of a read session that waits at the tail. Each time is random
// between least and most.
func Heartbeat(least, most time.Duration) Option {
	return func(c *server.Config) { c.HeartbeatLeast, c.HeartbeatMost = least, most }
}

// Retain bounds the encoded bytes of a stream in memory. When a stream holds more, the server drops its oldest batches.
func Retain(bytes int) Option { return func(c *server.Config) { c.Retain = bytes } }

// Duplicates makes the server count each batch with the same records as an earlier batch of the same stream.
func Duplicates() Option { return func(c *server.Config) { c.CountDuplicates = true } }
