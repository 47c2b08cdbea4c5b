package s2test

import (
	"time"

	"github.com/headrace/headrace/backend/s2/server"
)

// An Option sets a field of the server's [server.Config]. See there for the defaults.
type Option func(*server.Config)

// Basin creates a basin when the server starts. With auto, appends and reads create the streams that they name.
func Basin(name string, auto bool) Option {
	return func(c *server.Config) { c.Basins = append(c.Basins, server.Basin{Name: name, AutoCreate: auto}) }
}

// Token is the access token that may do everything. By default every bearer token may.
func Token(secret string) Option { return func(c *server.Config) { c.Token = secret } }

// Data keeps everything in the file given, over restarts. By default it is kept in memory.
func Data(file string) Option { return func(c *server.Config) { c.Data = file } }

// Clock tells the time. It is called from many goroutines, with locks held.
func Clock(now func() time.Time) Option { return func(c *server.Config) { c.Clock = now } }

// TrimDelay is how long after its append a trim takes effect. 0 is at once.
func TrimDelay(d time.Duration) Option {
	return func(c *server.Config) { c.TrimDelay = orAtOnce(d) }
}

// PurgeAfter is how long a deleted name cannot be used. 0 is not at all.
func PurgeAfter(d time.Duration) Option {
	return func(c *server.Config) { c.PurgeAfter = orAtOnce(d) }
}

// orAtOnce says 0 in the words of a Config, where 0 is the default.
func orAtOnce(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// Heartbeat is how long a session that follows stays silent: a random time between the two.
func Heartbeat(least, most time.Duration) Option {
	return func(c *server.Config) { c.HeartbeatLeast, c.HeartbeatMost = least, most }
}

// Retain drops the oldest batches of a stream in memory when it holds more than so many encoded bytes.
func Retain(bytes int) Option { return func(c *server.Config) { c.Retain = bytes } }

// Duplicates makes the server count batches that hold the same records as an earlier one of the same stream.
func Duplicates() Option { return func(c *server.Config) { c.CountDuplicates = true } }
