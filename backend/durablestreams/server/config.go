package server

import (
	"log/slog"
	"net/http"
	"strings"
	"time"
)

// A Config says what a Server serves, and how. The zero Config is usable: the server keeps everything in memory, and
// the path of a URL is the name of its stream.
type Config struct {
	// Storage is what the server serves. The caller closes the Storage, after the server. If Storage is nil, the server
	// opens a storage as Data and Retain say, and closes it in the end.
	Storage Storage

	// Data is the path of the file of a [Bolt], which keeps everything over restarts. If Data is "", a [Memory] keeps
	// everything.
	Data string

	// Retain is about how many bytes of every stream are kept: see [Retain]. 0 keeps everything.
	Retain int64

	// Path maps the decoded path of a URL to the name of a stream. If ok is false, the server answers 404. The server
	// also calls Path for the paths that forks name as their source. Default: the path is the name. See [Prefix].
	Path func(urlPath string) (stream string, ok bool)

	// LongPoll is how long a long-poll waits for data before it is answered with 204. Default: 30 s. Least: 1 ms.
	LongPoll time.Duration

	// Lifetime is how long an SSE response lasts. An end lets proxies give the reader to another server. Default: 60 s.
	// Least: 1 ms.
	Lifetime time.Duration

	// KeepAlive is how long an SSE response may be quiet. Then the server sends a comment, which clients ignore.
	// Proxies cut a response that is quiet for too long; nginx cuts it after 60 s. Default: 15 s. Least: 1 ms.
	KeepAlive time.Duration

	// BodyStall is how long a connection may stand still within the body of a request or response, before the server
	// gives up the connection. Default: 1 minute. Least: 1 ms.
	BodyStall time.Duration

	// BodyTime is how long the whole body of a request may take. A slower request is answered with 408, and nothing is
	// stored. Default: 5 minutes. Least: 1 ms. With the default, a body of 10 MiB needs 35 kB/s.
	BodyTime time.Duration

	// AppendBytes is the largest body of a POST or PUT. A larger body is answered with 413, and nothing is stored.
	// Default: 10 MiB. Least: 1.
	AppendBytes int

	// ChunkBytes is about how much one response holds. Only a single append may be larger. If a reader loses its
	// connection within a response, the reader receives the response again from its beginning. An SSE event holds as
	// much, but at most about 1 MiB, because clients hold a whole event in memory. Default: 4 MiB. Least: 1.
	ChunkBytes int

	// Origin is the value of Access-Control-Allow-Origin. Default: "*". [NoOrigin] turns cross-origin access off.
	Origin string

	// Authorize, if not nil, is called before every request except preflights. Before a fork, it is called again with
	// the name of the source. An error refuses the request: with 401 if the request had no Authorization header,
	// otherwise with 403. The text of the error is not sent. With an Authorize, responses are marked as private to the
	// user.
	Authorize func(r *http.Request, stream string) error

	// Logger gets the cause of each answer with the status 500, for example a damaged file or a full disk. The client
	// does not get the cause, because the cause may name files. Refusals of wrong requests are not logged: their answer
	// says everything, and a client could fill the log with them. Default: [slog.Default].
	Logger *slog.Logger
}

// NoOrigin, as the Origin of a Config, lets no web page of another origin use the server.
const NoOrigin = "none"

// Prefix is a Path for streams below a path, for example Prefix("/v1/stream/").
func Prefix(root string) func(urlPath string) (stream string, ok bool) {
	return func(p string) (string, bool) {
		name, ok := strings.CutPrefix(p, root)
		return name, ok && name != ""
	}
}

// complete returns c with the defaults in place of the fields that are not set.
func (c Config) complete() Config {
	if c.Path == nil {
		c.Path = func(p string) (string, bool) { return p, true }
	}
	for _, d := range []struct {
		value     *time.Duration
		otherwise time.Duration
	}{
		{&c.LongPoll, 30 * time.Second},
		{&c.Lifetime, time.Minute},
		{&c.KeepAlive, 15 * time.Second},
		{&c.BodyStall, time.Minute},
		{&c.BodyTime, 5 * time.Minute},
	} {
		if *d.value == 0 {
			*d.value = d.otherwise
		}
		*d.value = max(*d.value, time.Millisecond)
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.AppendBytes == 0 {
		c.AppendBytes = 10 << 20
	}
	if c.ChunkBytes == 0 {
		c.ChunkBytes = 4 << 20
	}
	c.AppendBytes, c.ChunkBytes = max(c.AppendBytes, 1), max(c.ChunkBytes, 1)
	switch c.Origin {
	case "":
		c.Origin = "*"
	case NoOrigin:
		c.Origin = ""
	}
	return c
}
