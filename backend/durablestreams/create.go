package durablestreams

import (
	"context"
	"fmt"
	"math"
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

// TTL removes the stream when it was neither read nor written for d, rounded up to whole seconds; negative ones are
// refused. Default: it stays.
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

// ExpiresAt removes the stream at t. It excludes [TTL].
func ExpiresAt(t time.Time) CreateOption {
	return func(c *creation) { c.set("Stream-Expires-At", t.UTC().Format(time.RFC3339Nano)) }
}

// Initial is what the stream holds from the start, as it goes over the wire: a JSON array on a JSON stream. It is not
// stored a second time when the stream is there already. body is not kept after Create.
func Initial(body []byte) CreateOption { return func(c *creation) { c.body = body } }

// Closed makes a stream that is closed from the start.
func Closed() CreateOption { return func(c *creation) { c.set("Stream-Closed", "true") } }

// ForkOf makes the stream a fork of source, on the same server, at a place of source: the fork begins with what source holds
// before it. [backend.Latest] is the tail; other starts are [backend.ErrUnsupported]. [Info.Next] and the Next of acks are
// places that every server takes. The Next of a record may lie behind an offset of the server's, and the protocol counts there
// only as far as one append reaches: a place further on is [backend.ErrRejected]. Nobody checks whether the place is of a
// stream that had the name of source before it.
func ForkOf(source *Stream, at backend.Offset) CreateOption {
	return func(c *creation) {
		if err := source.inside(); err != nil {
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

// Create makes the stream with a content type; "" stands for that of the source of a fork, and for application/octet-stream
// otherwise. It does nothing when there is one with the same configuration. A stream with another one is [ErrExists].
func (s *Stream) Create(ctx context.Context, contentType string, opts ...CreateOption) (Info, error) {
	c := creation{header: http.Header{}}
	for _, o := range opts {
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

// Info is what the server says of a stream.
type Info struct {
	ContentType string
	Next        backend.Offset // the tail, a place for readers and for [ForkOf]; "" when the server does not say
	Offset      string         // the server's own name of Next, which clients of other makes take
	Closed      bool           // for good
	Created     bool           // by this call of Create: not said when an earlier try made the stream and its answer was lost
	Duplicate   bool           // the server had the append before, by its [Identity]
	Producer    *ProducerState // after an append with an [Identity]; nil when the server says nothing
	TTL         time.Duration  // 0 when there is none
	Expires     time.Time      // zero when there is no such time
}

// A ProducerState is what the server has of a producer: its epoch, and the highest sequence accepted in it.
type ProducerState struct{ Epoch, Seq int64 }

// Head asks what there is to know about the stream. It does not renew its TTL.
func (s *Stream) Head(ctx context.Context) (Info, error) {
	return s.call(ctx, "head", http.MethodHead, nil, nil, true)
}

// Delete deletes the stream. Forks of it go on. When a try was lost on the way the next one may find nothing to delete,
// which is [backend.ErrNotFound].
func (s *Stream) Delete(ctx context.Context) error {
	_, err := s.call(ctx, "delete", http.MethodDelete, nil, nil, true)
	return err
}

func infoOf(h http.Header) Info {
	i := Info{ContentType: h.Get("Content-Type"), Closed: isTrue(h.Get("Stream-Closed"))}
	if o := h.Get("Stream-Next-Offset"); validOffset(o) {
		i.Next, i.Offset = place(streamID(h), o, 0), o
	}
	epoch, ok := number(h.Get("Producer-Epoch"))
	if seq, ok2 := number(h.Get("Producer-Seq")); ok && ok2 {
		i.Producer = &ProducerState{Epoch: epoch, Seq: seq}
	}
	if n, ok := number(h.Get("Stream-TTL")); ok && n <= math.MaxInt64/int64(time.Second) {
		i.TTL = time.Duration(n) * time.Second
	}
	if t, err := time.Parse(time.RFC3339, h.Get("Stream-Expires-At")); err == nil {
		i.Expires = t
	}
	return i
}
