package checkpoint

import (
	"context"

	"github.com/headrace/headrace/backend"
)

// A Checkpoint is a place in a stream, and the claim under which the place was saved.
type Checkpoint struct {
	Offset backend.Offset // where to go on; empty means that no place is stored, which is not the start of the stream
	Epoch  uint64         // every Claim raises the epoch; 0 before the first Claim, at most 2^63-1

	// Ahead says which records behind Offset are done already, because records finished out of order. Ahead holds bytes
	// and not text, at most [AheadBytes], and is empty if all records behind Offset remain to be done. Only package
	// consumer makes and reads an Ahead. An Ahead belongs to its Offset: whoever sets another Offset must empty the
	// Ahead. The type is string for two reasons: a Checkpoint can be compared, and no caller can change a stored
	// Checkpoint.
	Ahead string
}

// A Store keeps checkpoints by key. Many goroutines may use a Store at once and, where the medium allows it, many
// processes. Put the stream's name into the key.
//
// Keys have 1 to [KeyBytes] bytes and offsets 1 to [OffsetBytes]. A longer key or offset is [backend.ErrTooLarge], an
// empty key or offset is [backend.ErrRejected]. Stores keep both byte for byte. If a medium cannot hold NUL, or bytes
// other than UTF-8, the store refuses such a key or offset with [backend.ErrRejected], and alters nothing.
//
// Ahead is stored and replaced in one step with the offset that it belongs to, and kept byte for byte, whatever bytes
// it has. Bytes that package consumer did not make, or made for another offset, are [backend.ErrRejected].
//
// A ctx may end before a call begins, or while the call waits for its turn. Then the call returns ctx's error, wrapped
// with [backend.ErrTransient], and changes nothing. An error that wraps no sentinel of package backend, such as a disk
// error, is fatal.
type Store interface {
	// Load returns the checkpoint under key, or the zero Checkpoint if nothing is stored. Load does not claim: it is
	// for observers.
	Load(ctx context.Context, key string) (Checkpoint, error)

	// Claim loads the checkpoint and raises its epoch in one step. Every consumer loop claims when it starts. The offset and
	// Ahead stay as they are; the offset is empty if nothing has been saved under key yet. A Claim that failed may have raised
	// the epoch all the same. Claim again then: nobody uses the epoch of the failed Claim.
	Claim(ctx context.Context, key string) (Checkpoint, error)

	// Save stores cp if cp has the current epoch; otherwise Save fails with [backend.ErrFenced]. To repeat a Save after a
	// lost reply is harmless. Save refuses an empty Offset with [backend.ErrRejected]. Save does not compare offsets, because
	// offsets have no order: under the current epoch the last Save counts.
	Save(ctx context.Context, key string, cp Checkpoint) error
}

// A Lister is a [Store] that can say which keys it holds. It is for operators and dashboards. The stores of this module
// are Listers.
type Lister interface {
	// Keys returns every key that was claimed, also before its first Save, sorted byte by byte.
	Keys(ctx context.Context) ([]string, error)
}
