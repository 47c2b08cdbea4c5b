package checkpoint

import (
	"fmt"
	"math"

	"github.com/headrace/headrace/backend"
)

// The limits of every Store. They are what the narrowest medium in sight holds: a PostgreSQL index row ends at 2,704
// bytes, and the offset of an HTTP store travels in a URL.
const (
	KeyBytes    = 1024
	OffsetBytes = 4096
)

// CheckKey is for those who write a [Store]: it returns why no store takes key, or nil.
func CheckKey(key string) error {
	switch {
	case key == "":
		// An empty key is a setting that somebody forgot, and everyone who forgot it would share one checkpoint.
		return fmt.Errorf("%w: the key is empty", backend.ErrRejected)
	case len(key) > KeyBytes:
		return fmt.Errorf("%w: a key of %d bytes, the limit is %d", backend.ErrTooLarge, len(key), KeyBytes)
	}
	return nil
}

// CheckSave is for those who write a [Store]: it returns why no store takes cp under key, whatever it holds, or nil.
func CheckSave(key string, cp Checkpoint) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	switch {
	case cp.Offset == "":
		return fmt.Errorf("%w: the offset is empty", backend.ErrRejected)
	case len(cp.Offset) > OffsetBytes:
		return fmt.Errorf("%w: an offset of %d bytes, the limit is %d", backend.ErrTooLarge, len(cp.Offset), OffsetBytes)
	case cp.Epoch == 0:
		// Without this a key that nobody has claimed, whose epoch is 0 too, could be saved without a claim.
		return fmt.Errorf("%w: epoch 0 comes from no claim", backend.ErrFenced)
	}
	return nil
}

// Fence is for those who write a [Store]: it returns nil when saved has the epoch of stored, and otherwise
// [backend.ErrFenced] with what has happened. The caller must let no claim in between this and the storing of saved.
func Fence(stored, saved Checkpoint) error {
	switch {
	case saved.Epoch < stored.Epoch:
		return fmt.Errorf("%w: epoch %d was claimed after %d", backend.ErrFenced, stored.Epoch, saved.Epoch)
	case saved.Epoch > stored.Epoch:
		// The store has lost what this epoch was claimed from. To go on would hide that.
		return fmt.Errorf("%w: epoch %d is ahead of the stored %d: the store was removed, restored or exchanged",
			backend.ErrFenced, saved.Epoch, stored.Epoch)
	}
	return nil
}

// Raise is for those who write a [Store]: it returns what a Claim that finds stored puts in its place. Epochs end where
// a signed 64-bit column does; only a forged one gets there, and it is refused before it could wrap around to an epoch
// that is older than all others.
func Raise(stored Checkpoint) (Checkpoint, error) {
	if stored.Epoch >= math.MaxInt64 {
		return Checkpoint{}, fmt.Errorf("%w: epoch %d cannot be raised", backend.ErrRejected, stored.Epoch)
	}
	stored.Epoch++
	return stored, nil
}
