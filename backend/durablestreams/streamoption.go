package durablestreams

import (
	"fmt"
	"net/http"
	"slices"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// A StreamOption is an option of [Client.Stream] and [Stream.With]. If an option is nil or has a wrong value, every
// operation on the stream fails with [backend.ErrRejected].
type StreamOption func(*streamConfig)

type streamConfig struct {
	producer    string
	epoch       int64 // of its producers; -1: each producer chooses
	headers     []dynamic
	query       []dynamic
	batchBytes  int
	inFlight    int
	envelope    bool
	messageSize int
	wait        waiting
	wrong       error // the first wrong option: every operation fails with this error
}

// waiting is how readers wait at the tail.
type waiting byte

const (
	waitAuto waiting = iota
	waitLongPoll
	waitSSE
)

// The defaults. The official TypeScript client, too, has five requests in flight. 4 MiB stay below the limits of all servers we
// know: the lowest is 10 MB for an append.
const (
	defaultBatchBytes   = 4 << 20
	defaultInFlight     = 5
	defaultMessageBytes = 64 << 20
)

func streamDefaults() streamConfig {
	return streamConfig{epoch: -1, batchBytes: defaultBatchBytes, inFlight: defaultInFlight, messageSize: defaultMessageBytes}
}

// ProducerID names the producers of this Stream to the server. A producer that is started later under the same name takes the
// place of the producer before, and the earlier producer fails with [backend.ErrFenced]; a single producer of the name writes at
// a time. Without a ProducerID every producer has a random name and any number of producers write at once.
func ProducerID(id string) StreamOption { return func(c *streamConfig) { c.producer = id } }

// Epoch is the epoch in which a producer with a [ProducerID] begins, instead of an epoch made from the time: for programs with
// another way to agree on the writer, for example the number of a lease. A producer does not try a later epoch: if another
// producer has taken the epoch, or the server knows a later epoch, the first batch fails with [backend.ErrFenced].
//
// Each further producer needs a greater epoch, with some room between the two: when the server refuses a batch, or has
// forgotten the producer, the producer goes on in the next epoch. Take a multiple of the number of the lease, for example 1,000
// times. Epochs are 0 to 2^53-1. Another number is refused, and an epoch without a ProducerID too.
func Epoch(n int64) StreamOption {
	return func(c *streamConfig) {
		if n < 0 || n > maxNumber {
			c.refuse(fmt.Errorf("%w: Epoch(%d): must be 0 to 2^53-1", backend.ErrRejected, n))
			return
		}
		c.epoch = n
	}
}

// RequestHeader adds a header to the requests for this Stream, and replaces a header of the same name that [Header] gives to
// all requests of the client. With [Stream.With] the header is for one call. Errors do not show the value.
func RequestHeader(name, value string) StreamOption {
	return func(c *streamConfig) {
		if err := sendable(http.Header{name: {value}}); err != nil || !httpwire.HeaderName(name) {
			c.refuse(fmt.Errorf("%w: RequestHeader(%.80q): HTTP allows no such name or value", backend.ErrRejected, name))
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

// BatchBytes is how large the body of one append may become, and so also one record. The protocol has no way to ask for the
// server's limit; our server has 10 MiB. Default 4 MiB; 0 means the default, and less than 64 is refused.
func BatchBytes(n int) StreamOption {
	return func(c *streamConfig) { c.batchBytes = c.atLeast("BatchBytes", n, 64, defaultBatchBytes) }
}

// InFlight is how many appends of one producer are in flight at most. On a server that refuses a batch without its predecessor,
// the number shrinks while batches overtake others. Each append holds one body. Default 5; 0 means the default, a negative number is refused.
func InFlight(n int) StreamOption {
	return func(c *streamConfig) { c.inFlight = c.atLeast("InFlight", n, 1, defaultInFlight) }
}

// MessageBytes is the size of the largest message or frame for a reader. A larger message ends the reader with [backend.ErrTooLarge].
// MessageBytes bounds a reader's memory. Default 64 MiB; 0 means the default, and less than 1 KiB is refused.
func MessageBytes(n int) StreamOption {
	return func(c *streamConfig) { c.messageSize = c.atLeast("MessageBytes", n, 1<<10, defaultMessageBytes) }
}

// atLeast returns n, or the default for 0. If n is too small, every operation is refused.
func (c *streamConfig) atLeast(option string, n, least, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	if n < least {
		c.refuse(fmt.Errorf("%w: %s(%d): must be at least %d, or 0 for the default", backend.ErrRejected, option, n, least))
	}
	return max(n, least)
}

// refuse makes every operation fail with err, unless an earlier option was wrong.
func (c *streamConfig) refuse(err error) {
	if c.wrong == nil {
		c.wrong = err
	}
}

// SSE makes readers wait at the tail in one long response, instead of a request for each answer. Records arrive sooner
// over SSE. Readers wait by long-poll where SSE does not get through: when no event comes within 10 s, when the answer is no event
// stream, or when three connections in a row break off within a second.
//
// Without SSE and [LongPoll] the stream decides: SSE for JSON, because SSE carries JSON unchanged, and long-poll for everything
// else, because SSE makes bytes longer by a third and changes the line ends of a text.
func SSE() StreamOption { return func(c *streamConfig) { c.wait = waitSSE } }

// LongPoll makes readers wait at the tail by one request for each answer, for every type of stream. See [SSE].
func LongPoll() StreamOption { return func(c *streamConfig) { c.wait = waitLongPoll } }
