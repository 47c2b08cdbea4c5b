package s2

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/headrace/headrace/internal/redact"
)

// A Stream is an address: it can be written to and read by any number of producers and consumers. Its methods may be
// called from any goroutine.
type Stream struct {
	basin       *Basin
	name        string
	cfg         streamConfig
	incarnation *incarnation
}

// A StreamOption configures a [Stream].
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
func InFlight(n int) StreamOption { return func(c *streamConfig) { c.inFlight = max(n, 1) } }

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
	return func(c *streamConfig) { c.silence = max(d, time.Millisecond) }
}

// EncryptionKey is sent with appends and reads of an encrypted stream.
func EncryptionKey(key []byte) StreamOption {
	text := base64.StdEncoding.EncodeToString(key)
	return func(c *streamConfig) { c.key = func() string { return text } }
}

// Stream leads to a stream. It does no I/O; a malformed name is refused by the first call.
func (b *Basin) Stream(name string, opts ...StreamOption) *Stream {
	s := &Stream{basin: b, name: name, incarnation: new(incarnation), cfg: streamConfig{inFlight: 64, silence: 20 * time.Second}}
	for _, o := range opts {
		o(&s.cfg)
	}
	return s
}

// Name returns the stream's name.
func (s *Stream) Name() string { return s.name }

func (s *Stream) client() *Client { return s.basin.client }

func (s *Stream) recordsURL() string { return s.basin.url("streams", s.name, "records") }

func (s *Stream) op(what string) string { return fmt.Sprintf("%s %s/%s", what, s.basin.name, s.name) }

// request makes one that opens a session.
func (s *Stream) request(ctx context.Context, method string, query url.Values) (*http.Request, error) {
	u := s.recordsURL()
	if len(query) > 0 {
		u += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, nil)
	if err != nil {
		return nil, err
	}
	s.client().mark(req, s.basin.name)
	for name, v := range s.header() {
		req.Header[name] = v
	}
	return req, nil
}

func (s *Stream) header() http.Header {
	h := http.Header{}
	if s.cfg.key != nil {
		h[keyHeader] = []string{s.cfg.key()}
	}
	if s.cfg.create != "" {
		h["S2-Stream-Config"] = []string{s.cfg.create}
	}
	return h
}

const keyHeader = "S2-Encryption-Key"

// secrets are what its requests are made with.
func (s *Stream) secrets() redact.Secrets { return s.client().secrets(s.header()) }

// CheckTail returns where the next record goes, and the time of the last one. It is 0/0 for a stream that was never
// written to.
func (s *Stream) CheckTail(ctx context.Context) (Position, error) {
	op := s.op("check tail of")
	if err := s.basin.check(s.name); err != nil {
		return Position{}, fmt.Errorf("s2: %s: %w", op, err)
	}
	out, err := s.once(ctx, &call{op: op, method: http.MethodGet, url: s.basin.url("streams", s.name, "records", "tail"), basin: s.basin.name})
	if err != nil {
		return Position{}, classed(op, err)
	}
	return parseTail(op, out.body)
}

func parseTail(op string, body []byte) (Position, error) {
	var out struct {
		Tail *Position `json:"tail"`
	}
	err := json.Unmarshal(body, &out)
	if err == nil && out.Tail == nil {
		err = errors.New("no tail")
	}
	if err != nil {
		return Position{}, fmt.Errorf("s2: %s: %w", op, protocolErrorf("%w", err))
	}
	return *out.Tail, nil
}

// once sends a data-plane call, which is never repeated here.
func (s *Stream) once(ctx context.Context, r *call) (answer, error) {
	if r.header == nil {
		r.header = s.header()
	}
	return s.client().attempt(ctx, r)
}
