package s2

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
)

// A StreamOption configures a [Stream]. A zero is the default. A negative value and a nil option are refused by the first
// operation on the stream.
type StreamOption func(*streamConfig)

type streamConfig struct {
	exclusive   bool
	fence       bool    // each appender claims the stream
	token       *string // the fencing token of every append; nil is no token
	inFlight    int
	commands    bool
	events      bool
	bareOffsets bool
	create      string // the configuration for a stream created by its first use, in JSON
	silence     time.Duration
	key         func() string // a closure hides the key from printing
}

// completeStream checks the options and fills in the defaults.
func completeStream(opts []StreamOption) (streamConfig, error) {
	var c streamConfig
	for _, o := range opts {
		if o == nil {
			return c, fmt.Errorf("%w: %w", errNilOption, backend.ErrRejected)
		}
		o(&c)
	}
	switch {
	case c.inFlight < 0:
		return c, fmt.Errorf("InFlight(%d): must not be negative: %w", c.inFlight, backend.ErrRejected)
	case c.silence < 0:
		return c, fmt.Errorf("Silence(%v): must not be negative: %w", c.silence, backend.ErrRejected)
	}
	if c.inFlight == 0 {
		c.inFlight = 64
	}
	if c.silence == 0 {
		c.silence = 20 * time.Second
	}
	return c, nil
}

// Exclusive makes appends exactly-once. Over all sessions, each appender names the sequence number expected for every batch, and
// S2 refuses a batch at another place. When a reply is lost, the appender reads back the stored records: it acknowledges a stored
// batch with the true offsets, and never stores a batch twice. A record of another writer in between is [backend.ErrConflict].
// Use Exclusive if a stream has a single producer, and add [Fence] if an old producer may still be alive.
//
// The appender compares headers and values. Records of another writer with equal headers and values count as the batch.
func Exclusive() StreamOption { return func(c *streamConfig) { c.exclusive = true } }

// Fence makes every appender claim the stream with a fence command at the first opening, and send the fencing token with every
// append. After a later claim, the appends of all earlier appenders fail with [backend.ErrFenced]. With an empty token, each
// appender makes a random token. A given token has at most 36 bytes, and protects only if no other appender uses the same token.
// A fence does not stop appends without a token.
func Fence(token string) StreamOption {
	return func(c *streamConfig) {
		c.fence, c.token = true, nil
		if token != "" {
			c.token = &token
		}
	}
}

// FencingToken sends a token with every append, for a stream whose fence was set with [Stream.SetFence]. If the stream has
// another token, the append fails with [backend.ErrFenced].
func FencingToken(token string) StreamOption {
	return func(c *streamConfig) { c.fence, c.token = false, &token }
}

// InFlight is how many batches of an appender may be unacknowledged. The default is 64. Up to 4 MiB of the batches wait in memory
// for the connection.
func InFlight(n int) StreamOption { return func(c *streamConfig) { c.inFlight = n } }

// Commands makes readers return command records (fence, trim) too, as records with a single header without a name. By default,
// readers skip command records.
func Commands() StreamOption { return func(c *streamConfig) { c.commands = true } }

// SSE makes readers use server-sent events over HTTP/1.1, for networks without HTTP/2. Without SSE, a reader
// changes to server-sent events only if the attempt over HTTP/2 ends without an answer, and no session of the Client has had an
// answer before. The next reader tries HTTP/2 again.
func SSE() StreamOption { return func(c *streamConfig) { c.events = true } }

// BareOffsets makes offsets of sequence numbers alone, as [At] does. By default, offsets also hold the time of the stream's
// creation, and each opening of a session asks the server for the time. Then an offset of a stream that was deleted and created
// again is [backend.ErrOutOfRange], while a bare offset would silently skip records. If the access token may not list streams,
// offsets are always bare.
func BareOffsets() StreamOption { return func(c *streamConfig) { c.bareOffsets = true } }

// CreateAs is the configuration for the stream, if an append or a read creates the stream because the basin is configured to.
// Omitted fields have the basin's defaults. CreateAs does not change an existing stream.
func CreateAs(cfg StreamConfig) StreamOption {
	text, _ := json.Marshal(cfg) // cannot fail for the fields of a StreamConfig
	return func(c *streamConfig) { c.create = string(text) }
}

// Silence is how long a reader waits for bytes from the network before the reader gives up the connection. The default is 20 s,
// because servers send a heartbeat every 15 s.
func Silence(d time.Duration) StreamOption { return func(c *streamConfig) { c.silence = d } }

// EncryptionKey is sent with appends and reads of an encrypted stream.
func EncryptionKey(key []byte) StreamOption {
	text := base64.StdEncoding.EncodeToString(key)
	return func(c *streamConfig) { c.key = func() string { return text } }
}
