package server

import (
	"net/http"
	"strings"
	"time"
)

// An Option is an option of [New].
type Option func(*settings)

type settings struct {
	path        func(urlPath string) (stream string, ok bool)
	longPoll    time.Duration
	lifetime    time.Duration
	keepAlive   time.Duration
	stall       time.Duration
	bodyTime    time.Duration
	appendBytes int
	chunkBytes  int
	origin      string
	authorize   func(r *http.Request, stream string) error
}

func defaults() settings {
	return settings{
		path:        func(p string) (string, bool) { return p, true },
		longPoll:    30 * time.Second,
		lifetime:    60 * time.Second,
		keepAlive:   15 * time.Second,
		stall:       time.Minute,
		bodyTime:    5 * time.Minute,
		appendBytes: 10 << 20,
		chunkBytes:  4 << 20,
		origin:      "*",
	}
}

// Path maps the path of a URL, decoded, to the name of a stream; not ok is answered 404. It is also asked for the paths
// that forks name as their source. Default: the path is the name.
func Path(f func(urlPath string) (stream string, ok bool)) Option {
	return func(s *settings) { s.path = f }
}

// Prefix is a [Path] that serves what is below a path: Prefix("/v1/stream/").
func Prefix(root string) Option {
	return Path(func(p string) (string, bool) {
		name, ok := strings.CutPrefix(p, root)
		return name, ok && name != ""
	})
}

// LongPoll is how long a long-poll waits for data before it is answered 204. Default 30 s, at least 1 ms.
func LongPoll(d time.Duration) Option {
	return func(s *settings) { s.longPoll = max(d, time.Millisecond) }
}

// Lifetime is when an SSE response ends, so that proxies share readers out again. Default 60 s, at least 1 ms.
func Lifetime(d time.Duration) Option {
	return func(s *settings) { s.lifetime = max(d, time.Millisecond) }
}

// Stall is how long a connection may stand still within a request's or response's body before it is given up.
// Default 1 minute, at least 1 ms.
func Stall(d time.Duration) Option { return func(s *settings) { s.stall = max(d, time.Millisecond) } }

// BodyTime is how long a request's body may take as a whole; a slower one is answered 408 and stored nowhere. Default 5 minutes,
// at least 1 ms. At that default a body of 10 MiB needs 35 kB/s.
func BodyTime(d time.Duration) Option {
	return func(s *settings) { s.bodyTime = max(d, time.Millisecond) }
}

// KeepAlive is how long an SSE response may be quiet: then a comment is sent, which clients ignore. Proxies cut a response
// that is quiet for long, nginx after 60 s. Default 15 s, at least 1 ms.
func KeepAlive(d time.Duration) Option {
	return func(s *settings) { s.keepAlive = max(d, time.Millisecond) }
}

// AppendBytes is the largest body of a POST or PUT; a larger one is answered 413 and stored nowhere. Default 10 MiB, at
// least 1.
func AppendBytes(n int) Option { return func(s *settings) { s.appendBytes = max(n, 1) } }

// ChunkBytes is about how much one response holds; only a single append may be larger. A reader that comes back to a place
// within a response is sent it from its beginning. An SSE event holds as much, but not more than about 1 MiB: clients have
// it in memory as a whole. Default 4 MiB, at least 1.
func ChunkBytes(n int) Option { return func(s *settings) { s.chunkBytes = max(n, 1) } }

// Origin is what Access-Control-Allow-Origin says. Default "*"; "" turns cross-origin access off.
func Origin(o string) Option { return func(s *settings) { s.origin = o } }

// Authorize asks f before every request, preflights aside, and once more with the name of the source before a fork. Its
// error refuses the request: 401 when there was no Authorization header, 403 otherwise; the error's text is not sent.
// Responses are marked private to the user when there is an f.
func Authorize(f func(r *http.Request, stream string) error) Option {
	return func(s *settings) { s.authorize = f }
}
