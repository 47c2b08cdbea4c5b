package checkpointtest

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// reopenKeeps checks that a new handle finds all checkpoints of an old handle.
func reopenKeeps(ctx context.Context, s checkpoint.Store, reopen func(checkpoint.Store) checkpoint.Store) error {
	held := make(map[string]checkpoint.Checkpoint)
	for i, key := range distinctKeys {
		cp, err := claimAndSave(ctx, s, key, backend.Offset(fmt.Sprint("at-", i)))
		if err != nil {
			return err
		}
		if i == 0 {
			cp.Offset, cp.Ahead = "4711", aheads()[2]
			if err := s.Save(ctx, key, cp); err != nil {
				return err
			}
		}
		held[key] = cp
	}
	s = reopen(s)
	for key, cp := range held {
		if err := holds(ctx, s, key, cp); err != nil {
			return fmt.Errorf("after reopening: %w", err)
		}
	}
	return nil
}

// reopenEpochs checks whether the store keeps an epoch even without a save under the epoch. Otherwise a consumer from
// before the restart and a consumer from after the restart would share an epoch, and both could save.
func reopenEpochs(ctx context.Context, s checkpoint.Store, reopen func(checkpoint.Store) checkpoint.Store) error {
	older, err := claimAndSave(ctx, s, key, "1")
	if err != nil {
		return err
	}
	claimed, err := s.Claim(ctx, key)
	if err != nil {
		return err
	}
	s = reopen(s)
	if err := refuses(ctx, s, key, older, claimed, backend.ErrFenced); err != nil {
		return fmt.Errorf("after reopening: %w", err)
	}
	claimed.Offset = "2"
	if err := s.Save(ctx, key, claimed); err != nil {
		return fmt.Errorf("Save under a claim made before reopening: %w", err)
	}
	newer, err := s.Claim(ctx, key)
	if err != nil {
		return err
	}
	if newer.Epoch <= claimed.Epoch || newer.Offset != claimed.Offset {
		return fmt.Errorf("Claim after reopening returned %v over %v, want the same offset and a higher epoch", newer, claimed)
	}
	return refuses(ctx, s, key, claimed, newer, backend.ErrFenced)
}
