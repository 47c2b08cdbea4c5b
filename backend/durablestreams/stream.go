package durablestreams

import (
	"fmt"
	"net/url"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
)

// A Stream is the address of one stream: a [backend.Sink] and a [backend.Source], and the protocol's own operations. It
// may be used from any goroutine, by any number of producers and consumers.
type Stream struct {
	client *Client
	name   string
	url    *url.URL
	config streamConfig

	// short counts SSE connections in a row that broke off at once. It outlives readers, because each of them is one
	// connection to a consumer that opens a new one after a failure.
	short atomic.Int32
}

var _ backend.Stream = (*Stream)(nil)

// Name is the name that the stream was given.
func (s *Stream) Name() string { return s.name }

// URL is where the stream is, without the query parameters that the client adds to requests.
func (s *Stream) URL() string { return s.url.Redacted() }

// With returns the address of the same stream with further options, for one call or for many. s stays as it is.
func (s *Stream) With(opts ...StreamOption) *Stream {
	t := &Stream{client: s.client, name: s.name, url: s.url, config: s.config}
	for _, o := range opts {
		o(&t.config)
	}
	return t
}

// failed names the operation and the stream in an error. Paths, queries and user names may be secret, so of the URL it shows
// the host only.
func (s *Stream) failed(op string, err error) error {
	return fmt.Errorf("durablestreams: %s %.80q at %s://%s: %w", op, s.name, s.url.Scheme, s.url.Host, err)
}

// A StreamOption is an option of [Client.Stream] and [Stream.With]. With a value that it does not allow every operation on the
// stream fails with [backend.ErrRejected].
type StreamOption func(*streamConfig)

type streamConfig struct {
	producer    string
	batchBytes  int
	inFlight    int
	messageSize int
	wrong       error // of the options: every operation fails with it
	wait        waiting
}

// waiting is how readers wait at the tail.
type waiting byte

const (
	waitAuto waiting = iota
	waitLongPoll
	waitSSE
)

func streamDefaults() streamConfig {
	return streamConfig{batchBytes: 4 << 20, inFlight: 5, messageSize: 64 << 20}
}

// ProducerID names the producers of this Stream to the server. A producer that is started later under the same name
// replaces the one before, which then fails with [backend.ErrFenced]; at most one of them writes at a time. Without it
// every producer has a random name and any number of them write at once.
func ProducerID(id string) StreamOption { return func(c *streamConfig) { c.producer = id } }

// BatchBytes is how large the body of one append may become, and so also one record. The protocol has no way to ask for
// the server's limit; ours has 10 MiB. Default 4 MiB; less than 64 is refused.
func BatchBytes(n int) StreamOption {
	return func(c *streamConfig) { c.batchBytes = c.atLeast("BatchBytes", n, 64) }
}

// InFlight is how many appends of one producer are on their way at once, at most: fewer on a server that refuses those which
// overtake others, while some do. Each holds one body. Default 5; less than 1 is refused.
func InFlight(n int) StreamOption {
	return func(c *streamConfig) { c.inFlight = c.atLeast("InFlight", n, 1) }
}

// MessageBytes is the largest message or frame that a reader takes; a larger one fails it with [backend.ErrTooLarge].
// It bounds a reader's memory. Default 64 MiB; less than 1 KiB is refused.
func MessageBytes(n int) StreamOption {
	return func(c *streamConfig) { c.messageSize = c.atLeast("MessageBytes", n, 1<<10) }
}

// atLeast returns n, or the least and has every operation refused.
func (c *streamConfig) atLeast(option string, n, least int) int {
	if n < least && c.wrong == nil {
		c.wrong = fmt.Errorf("%w: %s(%d): must be at least %d", backend.ErrRejected, option, n, least)
	}
	return max(n, least)
}

// SSE makes readers wait at the tail in one long response instead of a request for each answer, which has the lower latency.
// Where that does not get through they wait by long-poll: when no event comes within 10 s, when the answer is no event
// stream, or when three connections in a row break off within a second.
//
// Neither SSE nor [LongPoll] given, readers choose by the stream: SSE for JSON, which it carries as it is, and long-poll for
// everything else, since SSE makes bytes longer by a third and all line ends of a text alike.
func SSE() StreamOption { return func(c *streamConfig) { c.wait = waitSSE } }

// LongPoll makes readers wait at the tail by one request for each answer, whatever the stream holds. See [SSE].
func LongPoll() StreamOption { return func(c *streamConfig) { c.wait = waitLongPoll } }
