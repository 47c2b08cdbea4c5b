package checkpoint

import (
	"errors"
	"fmt"
	"math"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/ahead"
)

// The limits of every Store, in bytes. The limits of known media are the reason: a row of a PostgreSQL index has at most 2,704
// bytes, and the offset of an HTTP store travels in a URL.
const (
	KeyBytes    = 1024
	OffsetBytes = 4096
	AheadBytes  = ahead.Bytes
)

// CheckKey is for authors of a [Store]: it returns the reason to refuse key, or nil.
func CheckKey(key string) error {
	switch {
	case key == "":
		// An empty key is a forgotten setting. All consumers with a forgotten key would share one checkpoint.
		return fmt.Errorf("%w: the key is empty", backend.ErrRejected)
	case len(key) > KeyBytes:
		return fmt.Errorf("%w: the key has %d bytes, the limit is %d", backend.ErrTooLarge, len(key), KeyBytes)
	}
	return nil
}

// CheckSave is for authors of a [Store]: it returns the reason to refuse cp under key, whatever the store holds, or nil.
func CheckSave(key string, cp Checkpoint) error {
	if err := CheckKey(key); err != nil {
		return err
	}
	switch {
	case cp.Offset == "":
		return fmt.Errorf("%w: the offset is empty", backend.ErrRejected)
	case len(cp.Offset) > OffsetBytes:
		return fmt.Errorf("%w: the offset has %d bytes, the limit is %d", backend.ErrTooLarge, len(cp.Offset), OffsetBytes)
	case cp.Epoch == 0:
		// An unclaimed key has the epoch 0. Without this rule, anybody could save under an unclaimed key.
		return fmt.Errorf("%w: epoch 0 comes from no claim", backend.ErrFenced)
	}
	if _, err := ahead.Decode(cp.Offset, cp.Ahead); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrRejected, err)
	}
	return nil
}

// CheckAhead is for authors of a [Store]: after reading a checkpoint from the medium, CheckAhead returns the damage of
// its Ahead, or nil. A sound Ahead of another offset is not damaged: somebody has changed the offset by hand, and a
// consumer ignores the Ahead.
func CheckAhead(cp Checkpoint) error {
	_, err := ahead.Decode(cp.Offset, cp.Ahead)
	if errors.Is(err, ahead.ErrOtherPlace) {
		return nil
	}
	return err
}

// Fence is for authors of a [Store]: Fence returns nil when saved has the epoch of stored. Otherwise Fence returns
// [backend.ErrFenced] and describes the newer claim. The caller must prevent a claim between this check and the storing
// of saved.
func Fence(stored, saved Checkpoint) error {
	switch {
	case saved.Epoch < stored.Epoch:
		return fmt.Errorf("%w: epoch %d was claimed after %d", backend.ErrFenced, stored.Epoch, saved.Epoch)
	case saved.Epoch > stored.Epoch:
		// The store has lost the claim of this epoch. To go on would hide the loss.
		return fmt.Errorf("%w: epoch %d is ahead of the stored %d: the store was removed, restored or exchanged",
			backend.ErrFenced, saved.Epoch, stored.Epoch)
	}
	return nil
}

// Raise is for authors of a [Store]: Raise returns the checkpoint that a Claim stores in place of stored. Epochs end at
// 2^63-1, the largest value of a signed 64-bit column. Only a forged epoch can be as large. Raise refuses the largest
// epoch: otherwise the epoch would wrap around and be older than all others.
func Raise(stored Checkpoint) (Checkpoint, error) {
	if stored.Epoch >= math.MaxInt64 {
		return Checkpoint{}, fmt.Errorf("%w: epoch %d cannot be raised", backend.ErrRejected, stored.Epoch)
	}
	stored.Epoch++
	return stored, nil
}
