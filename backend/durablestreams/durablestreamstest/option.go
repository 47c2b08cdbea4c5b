package durablestreamstest

import (
	"net/http"
	"time"

	"github.com/headrace/headrace/backend/durablestreams/server"
)

// An Option sets a field of [server.Config]. The defaults are documented there.
type Option func(*server.Config)

// Storage sets the storage that the server serves. The caller closes the storage, after the server.
func Storage(s server.Storage) Option { return func(c *server.Config) { c.Storage = s } }

// Data makes the server keep everything in a file, also over restarts. Without Data, the server keeps everything in
// memory.
func Data(file string) Option { return func(c *server.Config) { c.Data = file } }

// Retain keeps about so many bytes of every stream.
func Retain(bytes int64) Option { return func(c *server.Config) { c.Retain = bytes } }

// Path maps the path of a URL to the name of a stream.
func Path(f func(urlPath string) (stream string, ok bool)) Option {
	return func(c *server.Config) { c.Path = f }
}

// Prefix is a [Path] for streams below the path root.
func Prefix(root string) Option { return Path(server.Prefix(root)) }

// LongPoll is how long a long-poll waits for data.
func LongPoll(d time.Duration) Option { return func(c *server.Config) { c.LongPoll = d } }

// Lifetime is how long an SSE response lasts.
func Lifetime(d time.Duration) Option { return func(c *server.Config) { c.Lifetime = d } }

// KeepAlive is how long an SSE response may be quiet.
func KeepAlive(d time.Duration) Option { return func(c *server.Config) { c.KeepAlive = d } }

// BodyStall is how long a connection may stand still within a body.
func BodyStall(d time.Duration) Option { return func(c *server.Config) { c.BodyStall = d } }

// BodyTime is how long the body of a request may take as a whole.
func BodyTime(d time.Duration) Option { return func(c *server.Config) { c.BodyTime = d } }

// AppendBytes is the largest body of a POST or PUT.
func AppendBytes(n int) Option { return func(c *server.Config) { c.AppendBytes = n } }

// ChunkBytes is about how much one response holds.
func ChunkBytes(n int) Option { return func(c *server.Config) { c.ChunkBytes = n } }

// Origin is what Access-Control-Allow-Origin says.
func Origin(o string) Option { return func(c *server.Config) { c.Origin = o } }

// Authorize sets a function that the server calls before every request: see [server.Config.Authorize].
func Authorize(f func(r *http.Request, stream string) error) Option {
	return func(c *server.Config) { c.Authorize = f }
}
