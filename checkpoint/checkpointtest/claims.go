package checkpointtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

const key = "orders/billing"

// holds compares what is stored under key with want.
func holds(ctx context.Context, s checkpoint.Store, key string, want checkpoint.Checkpoint) error {
	got, err := s.Load(ctx, key)
	if err != nil {
		return fmt.Errorf("Load(%.40q): %w", key, err)
	}
	if got != want {
		return fmt.Errorf("Load(%.40q) returned %.80q, want %.80q", key, fmt.Sprint(got), fmt.Sprint(want))
	}
	return nil
}

// claimAndSave claims key, saves offset under the claim and returns what is then stored.
func claimAndSave(
	ctx context.Context, s checkpoint.Store, key string, offset backend.Offset,
) (checkpoint.Checkpoint, error) {
	cp, err := s.Claim(ctx, key)
	if err != nil {
		return cp, fmt.Errorf("Claim(%.40q): %w", key, err)
	}
	cp.Offset = offset
	if err := s.Save(ctx, key, cp); err != nil {
		return cp, fmt.Errorf("Save(%.40q) under the epoch just claimed: %w", key, err)
	}
	return cp, holds(ctx, s, key, cp)
}

// refuses saves cp, expects an error that is want, and expects that the store holds what it held before.
func refuses(ctx context.Context, s checkpoint.Store, key string, cp, held checkpoint.Checkpoint, want error) error {
	err := s.Save(ctx, key, cp)
	if err == nil {
		return fmt.Errorf("Save(%v) where %v is stored was taken, want %q", cp, held, want)
	}
	if !errors.Is(err, want) {
		return fmt.Errorf("Save(%v) where %v is stored: %q, want %q", cp, held, err, want)
	}
	if err := holds(ctx, s, key, held); err != nil {
		return fmt.Errorf("a refused Save has changed something: %w", err)
	}
	return nil
}

func loadOfNothing(ctx context.Context, s checkpoint.Store) error {
	return holds(ctx, s, key, checkpoint.Checkpoint{})
}

func loadDoesNotClaim(ctx context.Context, s checkpoint.Store) error {
	cp, err := claimAndSave(ctx, s, key, "1")
	if err != nil {
		return err
	}
	for range 3 {
		if err := holds(ctx, s, key, cp); err != nil {
			return err
		}
	}
	return s.Save(ctx, key, cp)
}

func claimRaises(ctx context.Context, s checkpoint.Store) error {
	var last checkpoint.Checkpoint
	for range 5 {
		cp, err := s.Claim(ctx, key)
		if err != nil {
			return err
		}
		if cp.Epoch <= last.Epoch || cp.Offset != "" {
			return fmt.Errorf("Claim returned %v after %v, want a higher epoch and no offset", cp, last)
		}
		if err := holds(ctx, s, key, cp); err != nil {
			return err
		}
		last = cp
	}
	return nil
}

func claimKeeps(ctx context.Context, s checkpoint.Store) error {
	saved, err := claimAndSave(ctx, s, key, "41/3")
	if err != nil {
		return err
	}
	cp, err := s.Claim(ctx, key)
	if err != nil {
		return err
	}
	if cp.Offset != saved.Offset || cp.Epoch <= saved.Epoch {
		return fmt.Errorf("Claim returned %v over %v, want the same offset and a higher epoch", cp, saved)
	}
	return holds(ctx, s, key, cp)
}

func saveCurrent(ctx context.Context, s checkpoint.Store) error {
	cp, err := claimAndSave(ctx, s, key, "1")
	if err != nil {
		return err
	}
	for i := range 10 {
		cp.Offset = backend.Offset(fmt.Sprint("at-", i))
		if err := s.Save(ctx, key, cp); err != nil {
			return err
		}
		if err := holds(ctx, s, key, cp); err != nil {
			return err
		}
	}
	return nil
}

// saveBackwards: offsets have no order that a store could know, and a consumer may be told to begin again.
func saveBackwards(ctx context.Context, s checkpoint.Store) error {
	cp, err := claimAndSave(ctx, s, key, "9")
	if err != nil {
		return err
	}
	for _, offset := range []backend.Offset{"10", "9", "0", "@earliest"} {
		cp.Offset = offset
		if err := s.Save(ctx, key, cp); err != nil {
			return err
		}
		if err := holds(ctx, s, key, cp); err != nil {
			return err
		}
	}
	return nil
}

func saveAgain(ctx context.Context, s checkpoint.Store) error {
	cp, err := claimAndSave(ctx, s, key, "7")
	if err != nil {
		return err
	}
	for range 2 {
		if err := s.Save(ctx, key, cp); err != nil {
			return fmt.Errorf("the same Save again: %w", err)
		}
		if err := holds(ctx, s, key, cp); err != nil {
			return err
		}
	}
	newer, err := s.Claim(ctx, key)
	if err != nil {
		return err
	}
	return refuses(ctx, s, key, cp, newer, backend.ErrFenced)
}

func saveOlder(ctx context.Context, s checkpoint.Store) error {
	older, err := claimAndSave(ctx, s, key, "1")
	if err != nil {
		return err
	}
	newer, err := s.Claim(ctx, key)
	if err != nil {
		return err
	}
	older.Offset = "2"
	if err := refuses(ctx, s, key, older, newer, backend.ErrFenced); err != nil {
		return err
	}
	newer.Offset = "3"
	if err := s.Save(ctx, key, newer); err != nil {
		return fmt.Errorf("the newer one, after the older was fenced: %w", err)
	}
	return refuses(ctx, s, key, older, newer, backend.ErrFenced)
}

func saveUnclaimed(ctx context.Context, s checkpoint.Store) error {
	nothing := checkpoint.Checkpoint{}
	for _, epoch := range []uint64{0, 1, 1 << 62, 1<<64 - 1} {
		cp := checkpoint.Checkpoint{Offset: "5", Epoch: epoch}
		if err := refuses(ctx, s, key, cp, nothing, backend.ErrFenced); err != nil {
			return fmt.Errorf("before any claim: %w", err)
		}
	}
	held, err := claimAndSave(ctx, s, key, "1")
	if err != nil {
		return err
	}
	for _, epoch := range []uint64{0, held.Epoch + 1, held.Epoch + 1<<32, 1 << 62, 1<<64 - 1} {
		cp := checkpoint.Checkpoint{Offset: "5", Epoch: epoch}
		if err := refuses(ctx, s, key, cp, held, backend.ErrFenced); err != nil {
			return err
		}
	}
	return nil
}

func saveEmpty(ctx context.Context, s checkpoint.Store) error {
	claimed, err := s.Claim(ctx, key)
	if err != nil {
		return err
	}
	if err := refuses(ctx, s, key, claimed, claimed, backend.ErrRejected); err != nil {
		return err
	}
	held, err := claimAndSave(ctx, s, key, "1")
	if err != nil {
		return err
	}
	return refuses(ctx, s, key, checkpoint.Checkpoint{Epoch: held.Epoch}, held, backend.ErrRejected)
}
