package durablestreams

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/headrace/headrace/backend"
)

// A CreateOption is an option of [Stream.Create].
type CreateOption func(*creation)

type creation struct {
	header http.Header
	body   []byte
	err    error
}

func (c *creation) set(name, value string) { c.header.Set(name, value) }

// TTL removes the stream when it was neither read nor written for d, rounded up to whole seconds. A negative d is refused.
// Default: the stream stays.
func TTL(d time.Duration) CreateOption {
	return func(c *creation) {
		if d < 0 {
			c.err = fmt.Errorf("%w: a TTL of %v", backend.ErrRejected, d)
			return
		}
		seconds := int64(d / time.Second)
		if d%time.Second > 0 {
			seconds++
		}
		c.set("Stream-TTL", strconv.FormatInt(seconds, 10))
	}
}

// ExpiresAt removes the stream at t. ExpiresAt together with [TTL] is refused.
func ExpiresAt(t time.Time) CreateOption {
	return func(c *creation) { c.set("Stream-Expires-At", t.UTC().Format(time.RFC3339Nano)) }
}

// Initial is what the stream holds from the start, as it goes over the wire: a JSON array on a JSON stream. If the stream exists
// already, the server does not store the body a second time. body is not kept after Create.
func Initial(body []byte) CreateOption { return func(c *creation) { c.body = body } }

// Sealed makes a stream that is sealed from the start.
func Sealed() CreateOption { return func(c *creation) { c.set("Stream-Closed", "true") } }

// ForkOf makes the stream a fork of source, on the same server, at a place of source: the fork begins with what source holds
// before the place. [backend.Latest] is the tail; other starts are [backend.ErrUnsupported].
//
// Every server takes [Info.Next] and the Next of acks. The Next of a record may lie behind an offset of the server, and the
// protocol counts from there only as far as one append reaches: a place further on is [backend.ErrRejected]. Nobody checks
// whether the place belongs to an earlier stream of the same name.
func ForkOf(source *Stream, at backend.Offset) CreateOption {
	return func(c *creation) {
		if err := source.checkAddress(); err != nil {
			c.err = err
			return
		}
		c.set("Stream-Forked-From", source.url.EscapedPath())
		switch {
		case at == backend.Latest:
			return
		case at.Relative():
			c.err = fmt.Errorf("a fork at %.80q: %w", at, backend.ErrUnsupported)
			return
		}
		_, offset, n, err := parsePlace(at)
		if err != nil {
			c.err = err
			return
		}
		c.set("Stream-Fork-Offset", offset)
		if n > 0 {
			c.set("Stream-Fork-Sub-Offset", strconv.FormatInt(n, 10))
		}
	}
}

// Create makes the stream with a content type. "" stands for the content type of the source of a fork, and otherwise for
// application/octet-stream. Create does nothing when the stream exists with the same configuration; a stream with another
// configuration is [ErrExists].
func (s *Stream) Create(ctx context.Context, contentType string, opts ...CreateOption) (Info, error) {
	c := creation{header: http.Header{}}
	for _, o := range opts {
		if o == nil {
			return Info{}, s.failed("create", fmt.Errorf("%w: %w", backend.ErrRejected, errNilOption))
		}
		o(&c)
	}
	if c.header.Get("Stream-TTL") != "" && c.header.Get("Stream-Expires-At") != "" {
		c.err = fmt.Errorf("%w: both a TTL and a time of expiry", backend.ErrRejected)
	}
	if c.err != nil {
		return Info{}, s.failed("create", c.err)
	}
	if contentType != "" {
		c.set("Content-Type", contentType)
	}
	return s.call(ctx, "create", http.MethodPut, c.header, c.body, true)
}
