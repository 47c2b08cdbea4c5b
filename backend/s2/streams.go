package s2

import (
	"context"
	"fmt"
	"iter"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/httpwire"
)

// A Basin holds streams.
type Basin struct {
	client *Client
	name   string
}

// Basin leads to a basin. It does no I/O; a malformed name is refused by the first call.
func (c *Client) Basin(name string) *Basin { return &Basin{client: c, name: name} }

// Name returns the basin's name.
func (b *Basin) Name() string { return b.name }

// StreamInfo is a stream as listed.
type StreamInfo struct {
	Name      string     `json:"name"`
	CreatedAt time.Time  `json:"created_at"`
	DeletedAt *time.Time `json:"deleted_at"` // set while it is in deletion
	Cipher    Cipher     `json:"cipher"`     // "" is none
}

// Streams iterates over the basin's streams, by name.
func (b *Basin) Streams(ctx context.Context, l List) iter.Seq2[StreamInfo, error] {
	return b.listing().all(ctx, b.client, l)
}

// StreamsPage returns one page of [Basin.Streams].
func (b *Basin) StreamsPage(ctx context.Context, l List) (Page[StreamInfo], error) {
	return b.listing().shown(ctx, b.client, l)
}

func (b *Basin) listing() listing[StreamInfo] {
	return listing[StreamInfo]{
		call:  call{op: "list streams of " + b.name, url: b.url("streams"), basin: b.name},
		field: "streams",
		name:  func(s StreamInfo) string { return s.Name },
		gone:  func(s StreamInfo) bool { return s.DeletedAt != nil },
	}
}

// CreateStream creates a stream. Its attempts carry one request token, so that a repeated one does not fail for the
// first. A name that is taken is [backend.ErrConflict].
func (b *Basin) CreateStream(ctx context.Context, name string, cfg StreamConfig) (StreamInfo, error) {
	op := "create stream " + name
	if err := b.check(name); err != nil {
		return StreamInfo{}, fmt.Errorf("s2: %s: %w", op, err)
	}
	body, err := encode(op, struct {
		Stream string       `json:"stream"`
		Config StreamConfig `json:"config"`
	}{name, cfg})
	if err != nil {
		return StreamInfo{}, err
	}
	info, _, err := fetch[StreamInfo](ctx, b.client, &call{op: op, method: http.MethodPost, url: b.url("streams"), basin: b.name, header: requestToken(), body: body})
	return info, err
}

// EnsureStream creates a stream, or makes one that exists like this, and says which it was. The configuration given
// replaces all of the stream's.
func (b *Basin) EnsureStream(ctx context.Context, name string, cfg StreamConfig) (StreamInfo, Provision, error) {
	return put[StreamInfo](ctx, b.client, &call{op: "ensure stream " + name, url: b.url("streams", name), basin: b.name}, b.check(name), cfg)
}

// StreamConfig returns a stream's configuration with all defaults filled in.
func (b *Basin) StreamConfig(ctx context.Context, name string) (StreamConfig, error) {
	if err := b.check(name); err != nil {
		return StreamConfig{}, fmt.Errorf("s2: stream config: %w", err)
	}
	cfg, _, err := fetch[StreamConfig](ctx, b.client, &call{op: "config of stream " + name, method: http.MethodGet, url: b.url("streams", name), basin: b.name})
	return cfg, err
}

// ReconfigureStream changes a stream's configuration and returns it as it is then.
func (b *Basin) ReconfigureStream(ctx context.Context, name string, change StreamChange) (StreamConfig, error) {
	op := "reconfigure stream " + name
	if err := b.check(name); err != nil {
		return StreamConfig{}, fmt.Errorf("s2: %s: %w", op, err)
	}
	body, err := encode(op, change)
	if err != nil {
		return StreamConfig{}, err
	}
	cfg, _, err := fetch[StreamConfig](ctx, b.client, &call{op: op, method: http.MethodPatch, url: b.url("streams", name), basin: b.name, body: body})
	return cfg, err
}

// DeleteStream begins to delete a stream. Doing so again while that lasts is no error.
func (b *Basin) DeleteStream(ctx context.Context, name string) error {
	if err := b.check(name); err != nil {
		return fmt.Errorf("s2: delete stream: %w", err)
	}
	_, err := b.client.do(ctx, &call{op: "delete stream " + name, method: http.MethodDelete, url: b.url("streams", name), basin: b.name})
	return err
}

func (b *Basin) url(segments ...string) string { return b.client.basin.at(b.name, segments...) }

// check refuses names that would make another URL than the one meant.
func (b *Basin) check(stream string) error {
	if err := checkBasin(b.name); err != nil {
		return err
	}
	if len(stream) < 1 || len(stream) > 512 || stream == "." || stream == ".." || !utf8.ValidString(stream) {
		return fmt.Errorf("stream name %q: want 1 to 512 bytes of UTF-8, not . or ..: %w", httpwire.Clip(stream), backend.ErrRejected)
	}
	return nil
}
