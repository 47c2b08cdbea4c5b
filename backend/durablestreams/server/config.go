package server

import (
	"net/http"
	"strings"
	"time"
)

// A Config says what a Server serves, and how. The zero Config is good: everything is kept in memory, and the path of a URL
// is the name of its stream.
type Config struct {
	// Storage is what the server serves. It stays the caller's to close, after the server. If it is nil, the server opens
	// one itself, as Data and Retain say, and closes it in the end.
	Storage Storage

	// Data is the file of a [Bolt], in which everything is kept over restarts. "" keeps everything in a [Memory].
	Data string

	// Retain is about how many bytes of every stream are kept: see [Retain]. 0 keeps everything.
	Retain int64

	// Path maps the path of a URL, decoded, to the name of a stream; not ok is answered 404. It is also asked for the
	// paths that forks name as their source. Default: the path is the name. See [Prefix].
	Path func(urlPath string) (stream string, ok bool)

	// LongPoll is how long a long-poll waits for data before it is answered 204. Default: 30 s, at least 1 ms.
	LongPoll time.Duration

	// Lifetime is when an SSE response ends, so that proxies can give its reader to another server. Default: 60 s, at
	// least 1 ms.
	Lifetime time.Duration

	// KeepAlive is how long an SSE response may be quiet: then a comment is sent, which clients ignore. Proxies cut a
	// response that is quiet for long, nginx after 60 s. Default: 15 s, at least 1 ms.
	KeepAlive time.Duration

	// BodyStall is how long a connection may stand still within the body of a request or response before it is given up.
	// Default: 1 minute, at least 1 ms.
	BodyStall time.Duration

	// BodyTime is how long the body of a request may take as a whole; a slower one is answered 408 and stored nowhere.
	// Default: 5 minutes, at least 1 ms. At that default a body of 10 MiB needs 35 kB/s.
	BodyTime time.Duration

	// AppendBytes is the largest body of a POST or PUT; a larger one is answered 413 and stored nowhere. Default: 10 MiB,
	// at least 1.
	AppendBytes int

	// ChunkBytes is about how much one response holds; only a single append may be larger. A reader that comes back to a
	// place within a response is sent the response from its beginning. An SSE event holds as much, but not more than
	// about 1 MiB, because clients have an event in memory as a whole. Default: 4 MiB, at least 1.
	ChunkBytes int

	// Origin is what Access-Control-Allow-Origin says. Default: "*". [NoOrigin] turns cross-origin access off.
	Origin string

	// Authorize, if not nil, is asked before every request, except preflights, and once more with the name of the source
	// before a fork. Its error refuses the request: 401 when there was no Authorization header, 403 otherwise; the text
	// of the error is not sent. Responses are marked private to the user when there is an Authorize.
	Authorize func(r *http.Request, stream string) error
}

// NoOrigin as the Origin of a Config lets no pages of other origins use the server.
const NoOrigin = "none"

// Prefix is a Path that serves what is below a path: Prefix("/v1/stream/").
func Prefix(root string) func(urlPath string) (stream string, ok bool) {
	return func(p string) (string, bool) {
		name, ok := strings.CutPrefix(p, root)
		return name, ok && name != ""
	}
}

// complete fills in what c does not say.
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
