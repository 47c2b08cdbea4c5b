package admin

import (
	"context"
	"net/http"

	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/internal/names"
)

// A BasinConfig is the configuration of a basin: defaults for the streams, and whether the first use of a stream creates the stream.
type BasinConfig struct {
	DefaultStreamConfig  *s2.StreamConfig `json:"default_stream_config,omitempty"`
	CreateStreamOnAppend bool             `json:"create_stream_on_append"`
	CreateStreamOnRead   bool             `json:"create_stream_on_read"`
	StreamCipher         Cipher           `json:"stream_cipher,omitempty"` // "" is no encryption
}

// A Cipher says how the streams of a basin are encrypted.
type Cipher string

// The ciphers.
const (
	Aegis256  Cipher = "aegis-256"
	AES256GCM Cipher = "aes-256-gcm"
)

// A BasinChange changes the configuration of a basin. Existing streams keep their configuration.
type BasinChange struct {
	DefaultStreamConfig  Change[StreamChange] `json:"default_stream_config,omitzero"`
	CreateStreamOnAppend Change[bool]         `json:"create_stream_on_append,omitzero"`
	CreateStreamOnRead   Change[bool]         `json:"create_stream_on_read,omitzero"`
	StreamCipher         Change[Cipher]       `json:"stream_cipher,omitzero"`
}

// BasinConfig returns the configuration of a basin.
func (a *Admin) BasinConfig(ctx context.Context, name string) (BasinConfig, error) {
	if err := names.CheckBasin(name); err != nil {
		return BasinConfig{}, refused("config of basin", err)
	}
	return call[BasinConfig](ctx, a.client, s2.Request{Op: "config of basin " + name, Method: http.MethodGet, Path: []string{"basins", name}})
}

// ReconfigureBasin changes the configuration of a basin, and returns the configuration after the change.
func (a *Admin) ReconfigureBasin(ctx context.Context, name string, change BasinChange) (BasinConfig, error) {
	if err := names.CheckBasin(name); err != nil {
		return BasinConfig{}, refused("reconfigure basin", err)
	}
	return call[BasinConfig](ctx, a.client, s2.Request{Op: "reconfigure basin " + name, Method: http.MethodPatch, Path: []string{"basins", name}, Body: change})
}
