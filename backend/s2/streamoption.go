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
	exclusive bool
	fence     bool    // claim the stream
	token     *string // present it with every append
	inFlight  int
	commands  bool
	events    bool
	bare      bool
	create    string // configuration of a stream that comes to be
	silence   time.Duration
	key       func() string // hidden from printing, as the access token is
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

// Exclusive makes appends exactly-once: each appender demands the sequence number that it expects for every batch, over
// all its sessions, and when it is not known whether a batch was stored, it looks. A batch that landed is acknowledged
// with its true offsets and never stored twice; another writer's record in between is [backend.ErrConflict]. Use it
// where there is one producer a stream, and with [Fence] where an old one may still be alive.
//
// What is compared are headers and values. Records of another writer that are equal to the batch in both count as it.
func Exclusive() StreamOption { return func(c *streamConfig) { c.exclusive = true } }

// Fence makes every appender claim the stream at its first opening, with a fence command, and present its token with
// every append from then on: one that claims later makes the appends of all before it fail with [backend.ErrFenced]. An
// empty token is a random one for each appender; a given one has at most 36 bytes and is only worth something if no
// other appender uses it. Appends without any token are not held off by it.
func Fence(token string) StreamOption {
	return func(c *streamConfig) {
		c.fence, c.token = true, nil
		if token != "" {
			c.token = &token
		}
	}
}

// FencingToken presents a token with every append that somebody else has set with [Stream.SetFence]. When the stream's
// is another, the append fails with [backend.ErrFenced].
func FencingToken(token string) StreamOption {
	return func(c *streamConfig) { c.fence, c.token = false, &token }
}

// InFlight is how many batches may be unacknowledged, 64 unless given. Up to 4 MiB of them are held in memory until the
// connection takes them.
func InFlight(n int) StreamOption { return func(c *streamConfig) { c.inFlight = n } }

// Commands shows command records (fence, trim) to readers as the records they are: one header with an empty name.
// Otherwise readers skip them.
func Commands() StreamOption { return func(c *streamConfig) { c.commands = true } }

// EventStream makes readers use server-sent events over HTTP/1.1, for networks that do not let HTTP/2 streams pass. A
// reader also does so by itself when its attempt over HTTP/2 ends without an answer and no session of the Client has had
// one before; the next reader tries HTTP/2 again.
func EventStream() StreamOption { return func(c *streamConfig) { c.events = true } }

// BareOffsets makes offsets that are sequence numbers and nothing else, as [At] does. Otherwise offsets bear the time of
// the stream's creation too, for which the server is asked once when a session is opened: a place in a stream that was
// deleted and created again since is [backend.ErrOutOfRange] then, where a bare one would skip records without a word.
// Offsets are bare by themselves where the access token may not list streams.
func BareOffsets() StreamOption { return func(c *streamConfig) { c.bare = true } }

// CreateAs is the configuration of the stream where an append or a read creates it, because its basin says so. Fields left
// out have the basin's default. It changes nothing of a stream that exists.
func CreateAs(cfg StreamConfig) StreamOption {
	text, _ := json.Marshal(cfg) // all of these fields can be marshalled
	return func(c *streamConfig) { c.create = string(text) }
}

// Silence is how long a reader waits on the network before it takes the connection for dead, 20 s unless given. Servers
// say something every 15 s.
func Silence(d time.Duration) StreamOption {
	return func(c *streamConfig) { c.silence = d }
}

// EncryptionKey is sent with appends and reads of an encrypted stream.
func EncryptionKey(key []byte) StreamOption {
	text := base64.StdEncoding.EncodeToString(key)
	return func(c *streamConfig) { c.key = func() string { return text } }
}
