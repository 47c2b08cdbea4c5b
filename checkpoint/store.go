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
//
// Keys are 1 to [KeyBytes] bytes and offsets 1 to [OffsetBytes]; what is longer is [backend.ErrTooLarge], an empty one
// [backend.ErrRejected]. Both are kept byte for byte. A store whose medium cannot hold NUL or what is not UTF-8 refuses
// those with [backend.ErrRejected] and never alters them.
//
// A call whose ctx ends before the call begins or while it waits for its turn returns ctx's error, wrapped with
// [backend.ErrTransient], and changes nothing. An error that wraps none of the sentinels of package backend, such as a
// disk error, is fatal.
type Store interface {
	// Load returns what is stored under key, the zero Checkpoint when there is nothing. It claims nothing: it is for
	// looking on.
	Load(ctx context.Context, key string) (Checkpoint, error)

	// Claim loads and raises the epoch in one step. Every loop claims when it starts. The offset stays; it is empty when
	// nothing has been saved under key yet. A Claim that failed may have raised the epoch all the same, so claim again:
	// nobody holds the epoch that was lost.
	Claim(ctx context.Context, key string) (Checkpoint, error)

	// Save stores cp if its epoch is the current one, else it fails with [backend.ErrFenced]. Saving again after a lost
	// reply is harmless. It refuses an empty Offset. It does not compare offsets, which have no order: under the
	// current epoch the last Save counts.
	Save(ctx context.Context, key string, cp Checkpoint) error
}
