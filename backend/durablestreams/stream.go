package durablestreams

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
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
	epoch       int64 // of its producers, -1: they choose
	headers     []dynamic
	query       []dynamic
	batchBytes  int
	inFlight    int
	envelope    bool
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
	return streamConfig{epoch: -1, batchBytes: 4 << 20, inFlight: 5, messageSize: 64 << 20}
}

// ProducerID names the producers of this Stream to the server. A producer that is started later under the same name
// replaces the one before, which then fails with [backend.ErrFenced]; at most one of them writes at a time. Without it
// every producer has a random name and any number of them write at once.
func ProducerID(id string) StreamOption { return func(c *streamConfig) { c.producer = id } }

// Epoch is the epoch in which a producer with a [ProducerID] begins, instead of one made from the time: for programs that agree
// in another way on who writes, such as by the number of a lease. Nothing is contested then: a producer whose epoch was taken by
// another, or is older than the server's, fails with [backend.ErrFenced] at its first batch. Each further producer needs a
// greater epoch, and some room below it: when the server refuses a batch, or has forgotten the producer, the producer goes on in
// the next epoch. So take a multiple of the number of the lease, such as 1,000 times. 0 to 2^53-1; others are refused, and so
// is an epoch without a ProducerID.
func Epoch(n int64) StreamOption {
	return func(c *streamConfig) {
		if n < 0 || n > maxNumber {
			c.refuse(fmt.Errorf("%w: Epoch(%d): must be 0 to 2^53-1", backend.ErrRejected, n))
			return
		}
		c.epoch = n
	}
}

// RequestHeader adds a header to the requests for this Stream, and replaces one of the same name that [Header] gives to all
// requests of the client. With [Stream.With] it is for one call. The value is kept out of errors, as those of Header are.
func RequestHeader(name, value string) StreamOption {
	return func(c *streamConfig) {
		if err := sendable(http.Header{name: {value}}); err != nil || !httpwire.HeaderName(name) {
			c.refuse(fmt.Errorf("%w: RequestHeader(%.80q): HTTP takes no such name or value", backend.ErrRejected, name))
			return
		}
		c.headers = append(slices.Clip(c.headers), dynamic{name, Static(value)}) // other Streams share the list
	}
}

// RequestQuery adds a query parameter to the requests for this Stream, as [RequestHeader] does with headers. offset, live and
// cursor are the protocol's own and are refused.
func RequestQuery(name, value string) StreamOption {
	return func(c *streamConfig) {
		if protocolParameter(name) {
			c.refuse(fmt.Errorf("%w: RequestQuery(%q): the parameter is the protocol's own", backend.ErrRejected, name))
			return
		}
		c.query = append(slices.Clip(c.query), dynamic{name, Static(value)})
	}
}

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
	if n < least {
		c.refuse(fmt.Errorf("%w: %s(%d): must be at least %d", backend.ErrRejected, option, n, least))
	}
	return max(n, least)
}

// refuse has every operation fail with the first wrong value.
func (c *streamConfig) refuse(err error) {
	if c.wrong == nil {
		c.wrong = err
	}
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
