package leasetest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer/group/lease"
)

func emptyGroup(ctx context.Context, s lease.Store) error {
	state, err := s.Members(ctx, group)
	if err != nil || len(state.Members) != 0 || len(state.Owners) != 0 {
		return fmt.Errorf("members of an empty group: %v, %v", state, err)
	}
	return errors.Join(s.Release(ctx, group, "a", "s"), s.Leave(ctx, group, "a"))
}

func renewJoins(ctx context.Context, s lease.Store) error {
	for _, member := range []string{"b", "a", "a"} {
		if _, err := s.Renew(ctx, group, member, nil, long); err != nil {
			return err
		}
	}
	state, err := s.Renew(ctx, group, "c", []string{"never acquired"}, long)
	if err != nil || !slices.Equal(state.Members, []string{"a", "b", "c"}) || len(state.Owners) != 0 {
		return fmt.Errorf("state %v, %v, want the members a, b, c and no owner", state, err)
	}
	return nil
}

func silentMember(ctx context.Context, s lease.Store) error {
	if _, err := s.Renew(ctx, group, "a", nil, short); err != nil {
		return err
	}
	return until(ctx, "the member stays", func() (bool, error) {
		state, err := s.Renew(ctx, group, "b", nil, long)
		return slices.Equal(state.Members, []string{"b"}), err
	})
}

func oneOwner(ctx context.Context, s lease.Store) error {
	return errors.Join(
		acquire(ctx, s, "a", "s", long, true),
		acquire(ctx, s, "b", "s", long, false),
		acquire(ctx, s, "b", "t", long, true),
		owners(ctx, s, map[string]string{"s": "a", "t": "b"}))
}

func acquireAgain(ctx context.Context, s lease.Store) error {
	return errors.Join(
		acquire(ctx, s, "a", "s", long, true),
		acquire(ctx, s, "a", "s", long, true),
		owners(ctx, s, map[string]string{"s": "a"}))
}

func expiredIsFree(ctx context.Context, s lease.Store) error {
	return errors.Join(
		acquire(ctx, s, "a", "s", short, true),
		untilFree(ctx, s, "s"),
		acquire(ctx, s, "b", "s", long, true),
		owners(ctx, s, map[string]string{"s": "b"}))
}

func renewedStays(ctx context.Context, s lease.Store) error {
	if err := errors.Join(acquire(ctx, s, "a", "s", short, true), acquire(ctx, s, "x", "clock", short, true)); err != nil {
		return err
	}
	state, err := s.Renew(ctx, group, "a", []string{"s"}, long)
	if err != nil || state.Owners["s"] != "a" {
		return fmt.Errorf("after Renew: %v, %v, want the owner a", state, err)
	}
	return errors.Join(untilFree(ctx, s, "clock"), owners(ctx, s, map[string]string{"s": "a"}))
}

func renewNames(ctx context.Context, s lease.Store) error {
	err := errors.Join(acquire(ctx, s, "a", "s", short, true), acquire(ctx, s, "a", "t", short, true))
	if err != nil {
		return err
	}
	if _, err = s.Renew(ctx, group, "a", []string{"t"}, long); err != nil {
		return err
	}
	return errors.Join(untilFree(ctx, s, "s"), owners(ctx, s, map[string]string{"t": "a"}))
}

func renewExpired(ctx context.Context, s lease.Store) error {
	if err := errors.Join(acquire(ctx, s, "a", "s", short, true), untilFree(ctx, s, "s")); err != nil {
		return err
	}
	state, err := s.Renew(ctx, group, "a", []string{"s"}, long)
	if err != nil || state.Owners["s"] != "a" {
		return fmt.Errorf("after Renew of an expired lease: %v, %v, want the owner a", state, err)
	}
	return acquire(ctx, s, "b", "s", long, false)
}

func renewLost(ctx context.Context, s lease.Store) error {
	err := errors.Join(acquire(ctx, s, "a", "s", short, true), untilFree(ctx, s, "s"), acquire(ctx, s, "b", "s", long, true))
	if err != nil {
		return err
	}
	state, err := s.Renew(ctx, group, "a", []string{"s"}, long)
	if err != nil || state.Owners["s"] != "b" {
		return fmt.Errorf("after Renew of a lost lease: %v, %v, want the owner b", state, err)
	}
	return nil
}

func releaseFrees(ctx context.Context, s lease.Store) error {
	return errors.Join(
		acquire(ctx, s, "a", "s", long, true),
		acquire(ctx, s, "a", "t", long, true),
		s.Release(ctx, group, "a", "s"),
		s.Release(ctx, group, "a", "s"),
		owners(ctx, s, map[string]string{"t": "a"}),
		acquire(ctx, s, "b", "s", long, true))
}

func releaseByAnother(ctx context.Context, s lease.Store) error {
	return errors.Join(
		acquire(ctx, s, "a", "s", long, true),
		s.Release(ctx, group, "b", "s"),
		s.Leave(ctx, group, "b"),
		owners(ctx, s, map[string]string{"s": "a"}))
}

func leaveEnds(ctx context.Context, s lease.Store) error {
	for _, member := range []string{"a", "b"} {
		if _, err := s.Renew(ctx, group, member, nil, long); err != nil {
			return err
		}
	}
	err := errors.Join(
		acquire(ctx, s, "a", "s", long, true),
		acquire(ctx, s, "a", "t", long, true),
		acquire(ctx, s, "b", "u", long, true),
		s.Leave(ctx, group, "a"),
		s.Leave(ctx, group, "a"),
		owners(ctx, s, map[string]string{"u": "b"}))
	if err != nil {
		return err
	}
	if state, err := s.Members(ctx, group); err != nil || !slices.Equal(state.Members, []string{"b"}) {
		return fmt.Errorf("members %v, %v, want b", state.Members, err)
	}
	return nil
}

func acquireFences(ctx context.Context, s lease.Store) error {
	if err := acquire(ctx, s, "a", "s", short, true); err != nil {
		return err
	}
	save, err := claimed(ctx, s, "s")
	if err := errors.Join(err, save(), untilFree(ctx, s, "s"), save()); err != nil {
		return fmt.Errorf("before another member acquires: %w", err)
	}
	if err := acquire(ctx, s, "b", "s", long, true); err != nil {
		return err
	}
	if err := save(); !errors.Is(err, backend.ErrFenced) {
		return fmt.Errorf("a save of the owner before: %v, want ErrFenced", err)
	}
	if cp, err := s.Load(ctx, lease.Key(group, "s")); err != nil || cp.Offset != "1" {
		return fmt.Errorf("checkpoint %v, %v: the acquisition must keep the offset", cp, err)
	}
	return nil
}

func failedAcquire(ctx context.Context, s lease.Store) error {
	if err := acquire(ctx, s, "a", "s", long, true); err != nil {
		return err
	}
	save, err := claimed(ctx, s, "s")
	return errors.Join(err, acquire(ctx, s, "b", "s", long, false), save())
}

// acquiredCheckpoint checks whether a member can save under the checkpoint of Acquire, and whether the next Acquire
// returns the saved offset.
func acquiredCheckpoint(ctx context.Context, s lease.Store) error {
	key := lease.Key(group, "s")
	for _, offset := range []backend.Offset{"", "1"} {
		cp, ok, err := s.Acquire(ctx, group, "a", "s", long)
		if err != nil || !ok || cp.Offset != offset {
			return fmt.Errorf("the checkpoint that Acquire returned: %v, %v, %v, want the offset %q", cp, ok, err, offset)
		}
		if stored, err := s.Load(ctx, key); err != nil || stored != cp {
			return fmt.Errorf("the store holds %v, %v, and Acquire returned %v", stored, err, cp)
		}
		cp.Offset = "1"
		if err := s.Save(ctx, key, cp); err != nil {
			return fmt.Errorf("a save under the epoch that Acquire returned: %w", err)
		}
	}
	cp, ok, err := s.Acquire(ctx, group, "b", "s", long)
	if err != nil || ok || cp != (checkpoint.Checkpoint{}) {
		return fmt.Errorf("the result of Acquire by another member: %v, %v, %v, want nothing", cp, ok, err)
	}
	return nil
}
