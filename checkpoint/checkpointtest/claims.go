package checkpointtest

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/internal/ahead"
)

// key is the key that most rules use.
const key = "orders/billing"

// holds checks that want is stored under key.
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

// claimAndSave claims key, saves offset under the claim, and returns the stored checkpoint.
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

// refuses saves cp and expects the error want. The store must still hold held: a refusal must change nothing.
func refuses(ctx context.Context, s checkpoint.Store, key string, cp, held checkpoint.Checkpoint, want error) error {
	err := s.Save(ctx, key, cp)
	if err == nil {
		return fmt.Errorf("Save(%v) where %v is stored succeeded, want %q", cp, held, want)
	}
	if !errors.Is(err, want) {
		return fmt.Errorf("Save(%v) where %v is stored: %q, want %q", cp, held, err, want)
	}
	if err := holds(ctx, s, key, held); err != nil {
		return fmt.Errorf("a refused Save has changed something: %w", err)
	}
	return nil
}

// loadOfNothing checks that Load of an unused key gives the zero Checkpoint and no error.
func loadOfNothing(ctx context.Context, s checkpoint.Store) error {
	return holds(ctx, s, key, checkpoint.Checkpoint{})
}

// loadDoesNotClaim checks that Load does not raise the epoch. Otherwise a monitoring tool that looks at a checkpoint
// would stop its consumer.
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

// claimRaises checks whether each Claim gives a higher epoch, and whether the store keeps the epoch.
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

// claimKeeps checks that Claim does not change the offset. Otherwise a restart would lose the place.
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

// saveCurrent checks that a consumer can save many times under one claim.
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

// aheads returns lists of done records for the offset 4711. Their bytes are not text, so a medium for text may change
// them.
func aheads() []string {
	long := make([]ahead.Run, 0, 4000)
	for i := range uint64(cap(long)) {
		long = append(long, ahead.Run{From: 2*i + 1, To: 2*i + 2, Mark: uint16(i * 31)})
	}
	return []string{
		ahead.Encode("4711", []ahead.Run{{From: 1, To: 2}}),
		ahead.Encode("4711", []ahead.Run{{From: 0, To: 300}, {From: 301, To: 1 << 40, Mark: 0xfffe}}),
		ahead.Encode("4711", long), // as long as the limit allows
	}
}

// aheadKept checks how a store keeps Ahead, the list of done records behind the offset: Save stores the list with the
// offset, Claim keeps the list, and the next Save replaces the list.
func aheadKept(ctx context.Context, s checkpoint.Store) error {
	for _, done := range aheads() {
		cp, err := s.Claim(ctx, key)
		if err != nil {
			return err
		}
		cp.Offset, cp.Ahead = "4711", done
		if err := s.Save(ctx, key, cp); err != nil {
			return err
		}
		if err := holds(ctx, s, key, cp); err != nil {
			return err
		}
		claimed, err := s.Claim(ctx, key)
		if err != nil {
			return err
		}
		if cp.Epoch = claimed.Epoch; claimed != cp {
			return fmt.Errorf("Claim returned %.80q, want %.80q", fmt.Sprint(claimed), fmt.Sprint(cp))
		}
		cp.Ahead = ""
		if err := s.Save(ctx, key, cp); err != nil {
			return err
		}
		if err := holds(ctx, s, key, cp); err != nil {
			return fmt.Errorf("after a Save without Ahead: %w", err)
		}
	}
	return nil
}

// damagedAhead checks that a store refuses a damaged Ahead. With a damaged list, a consumer would leave out unfinished
// records.
func damagedAhead(ctx context.Context, s checkpoint.Store) error {
	held, err := claimAndSave(ctx, s, key, "1")
	if err != nil {
		return err
	}
	for _, bad := range []string{
		"x", "not ours", aheads()[0] + "x", aheads()[0], // the fourth is well formed and belongs to another offset
		string(make([]byte, checkpoint.AheadBytes+1)),
	} {
		cp := held
		cp.Ahead = bad
		if err := refuses(ctx, s, key, cp, held, backend.ErrRejected); err != nil {
			return err
		}
	}
	return nil
}

// saveBackwards checks that the store does not compare offsets. A store cannot know the order of offsets, and an
// operator may let a consumer begin again.
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

// saveAgain checks that a consumer may repeat a Save after a lost reply. If a newer consumer has claimed the key
// meanwhile, the repeated Save must be fenced.
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

// saveOlder checks that a replaced consumer can no longer save, before and after the first Save of the newer consumer.
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
		return fmt.Errorf("Save of the newer consumer, after the older one was fenced: %w", err)
	}
	return refuses(ctx, s, key, older, newer, backend.ErrFenced)
}

// saveUnclaimed checks whether the store refuses unclaimed epochs, both below and above the current epoch.
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

// saveEmpty checks that an empty offset is refused, with and without a stored offset.
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
