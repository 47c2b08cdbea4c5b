// Package checkpoint keeps where a consumer has got to.
package checkpoint

import (
	"context"

	"github.com/headrace/headrace/backend"
)

// A Checkpoint is a place in a stream and the claim under which it was saved.
type Checkpoint struct {
	Offset backend.Offset // where to go on; empty: there is none, which is not the same as the start
	Epoch  uint64         // raised by every Claim; 0 before the first
}

// A Store keeps checkpoints by key. It is safe for use from many goroutines and, where the medium allows, from many
// processes. Put the stream's name in the key.
type Store interface {
	// Load returns what is stored under key, the zero Checkpoint when there is nothing.
	Load(ctx context.Context, key string) (Checkpoint, error)

	// Claim loads and raises the epoch in one step. Every loop claims when it starts.
	Claim(ctx context.Context, key string) (Checkpoint, error)

	// Save stores cp if its epoch is the current one, else it fails with [backend.ErrFenced]. Saving again after a lost
	// reply is harmless. It refuses an empty Offset.
	Save(ctx context.Context, key string, cp Checkpoint) error
}
