package admin

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/internal/names"
)

// A Basin is an address. The methods manage the streams of the basin.
type Basin struct {
	client *s2.Client
	name   string
}

// Basin addresses a basin, without I/O. The first call refuses a wrong name.
func (a *Admin) Basin(name string) *Basin { return &Basin{client: a.client, name: name} }

// Name returns the name of the basin.
func (b *Basin) Name() string { return b.name }

// StreamInfo is the entry of a stream in a listing.
type StreamInfo struct {
	Name      string     `json:"name"`
	CreatedAt time.Time  `json:"created_at"`
	DeletedAt *time.Time `json:"deleted_at"` // set while the stream is in deletion
	Cipher    Cipher     `json:"cipher"`     // "" is no encryption
}

// Streams iterates over the streams of the basin, by name. The loop fetches a page at a time. After an error
// the loop ends.
func (b *Basin) Streams(ctx context.Context, l List) iter.Seq2[StreamInfo, error] {
	return b.listing().all(ctx, l)
}

// StreamsPage returns one page of [Basin.Streams].
func (b *Basin) StreamsPage(ctx context.Context, l List) (Page[StreamInfo], error) {
	return b.listing().first(ctx, l)
}

func (b *Basin) listing() listing[StreamInfo] {
	return listing[StreamInfo]{
		client:  b.client,
		request: s2.Request{Op: "list streams of " + b.name, Basin: b.name, Path: []string{"streams"}},
		field:   "streams",
		name:    func(s StreamInfo) string { return s.Name },
		deleted: func(s StreamInfo) bool { return s.DeletedAt != nil },
	}
}

// CreateStream creates a stream. A taken name is [backend.ErrConflict].
func (b *Basin) CreateStream(ctx context.Context, name string, cfg s2.StreamConfig) (StreamInfo, error) {
	if err := names.CheckStream(b.name, name); err != nil {
		return StreamInfo{}, refused("create stream", err)
	}
	return call[StreamInfo](ctx, b.client, s2.Request{Op: "create stream " + name, Method: http.MethodPost, Basin: b.name, Path: []string{"streams"}, Header: requestToken(), Body: struct {
		Stream string          `json:"stream"`
		Config s2.StreamConfig `json:"config"`
	}{name, cfg}})
}

// EnsureStream creates a stream, or gives an existing stream this configuration, and returns the effect. cfg replaces the whole
// configuration of the stream.
func (b *Basin) EnsureStream(ctx context.Context, name string, cfg s2.StreamConfig) (StreamInfo, Provision, error) {
	if err := names.CheckStream(b.name, name); err != nil {
		return StreamInfo{}, "", refused("ensure stream", err)
	}
	r := b.request("ensure stream", name)
	r.Body = cfg
	return ensure[StreamInfo](ctx, b.client, r)
}

// DeleteStream begins to delete a stream. Deleting a stream in deletion is no error.
func (b *Basin) DeleteStream(ctx context.Context, name string) error {
	if err := names.CheckStream(b.name, name); err != nil {
		return refused("delete stream", err)
	}
	r := b.request("delete stream", name)
	r.Method = http.MethodDelete
	_, err := b.client.Call(ctx, r, nil)
	return err
}

// StreamConfig returns the configuration of a stream, with all defaults filled in.
func (b *Basin) StreamConfig(ctx context.Context, name string) (s2.StreamConfig, error) {
	if err := names.CheckStream(b.name, name); err != nil {
		return s2.StreamConfig{}, refused("config of stream", err)
	}
	r := b.request("config of stream", name)
	r.Method = http.MethodGet
	return call[s2.StreamConfig](ctx, b.client, r)
}

// ReconfigureStream changes the configuration of a stream, and returns the configuration after the change.
func (b *Basin) ReconfigureStream(ctx context.Context, name string, change StreamChange) (s2.StreamConfig, error) {
	if err := names.CheckStream(b.name, name); err != nil {
		return s2.StreamConfig{}, refused("reconfigure stream", err)
	}
	r := b.request("reconfigure stream", name)
	r.Method, r.Body = http.MethodPatch, change
	return call[s2.StreamConfig](ctx, b.client, r)
}

// request makes a request about a stream of the basin.
func (b *Basin) request(op, stream string) s2.Request {
	return s2.Request{Op: op + " " + stream, Basin: b.name, Path: []string{"streams", stream}}
}
