package leasetest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer/group/lease"
)

// A faulty store is a good one with one thing wrong.
type faulty struct {
	*lease.Memory
	acquire func(f *faulty, ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error)
	renew   func(f *faulty, ctx context.Context, group, member string, streams []string, ttl time.Duration) (lease.State, error)
	release func(f *faulty, ctx context.Context, group, member, stream string) error
	leave   func(f *faulty, ctx context.Context, group, member string) error
}

func (f *faulty) Acquire(ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error) {
	if f.acquire != nil {
		return f.acquire(f, ctx, group, member, stream, ttl)
	}
	return f.Memory.Acquire(ctx, group, member, stream, ttl)
}

func (f *faulty) Renew(ctx context.Context, group, member string, streams []string, ttl time.Duration) (lease.State, error) {
	if f.renew != nil {
		return f.renew(f, ctx, group, member, streams, ttl)
	}
	return f.Memory.Renew(ctx, group, member, streams, ttl)
}

func (f *faulty) Release(ctx context.Context, group, member, stream string) error {
	if f.release != nil {
		return f.release(f, ctx, group, member, stream)
	}
	return f.Memory.Release(ctx, group, member, stream)
}

func (f *faulty) Leave(ctx context.Context, group, member string) error {
	if f.leave != nil {
		return f.leave(f, ctx, group, member)
	}
	return f.Memory.Leave(ctx, group, member)
}

// TestEveryFaultIsNoticed gives a broken store to the suite and wants a rule to notice.
func TestEveryFaultIsNoticed(t *testing.T) {
	for fault, f := range map[string]*faulty{
		"Acquire takes what another holds": {acquire: func(f *faulty, ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error) {
			if s, err := f.Members(ctx, group); err != nil || s.Owners[stream] == "" {
				return f.Memory.Acquire(ctx, group, member, stream, ttl)
			}
			err := f.Memory.Release(ctx, group, "a", stream)
			cp, ok, _ := f.Memory.Acquire(ctx, group, member, stream, ttl)
			return cp, ok, err
		}},
		"Acquire does not fence": {acquire: func(f *faulty, ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error) {
			kept := f.Memory.Memory
			f.Memory.Memory = checkpoint.NewMemory()
			defer func() { f.Memory.Memory = kept }()
			return f.Memory.Acquire(ctx, group, member, stream, ttl)
		}},
		"Acquire that fails fences": {acquire: func(f *faulty, ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error) {
			cp, ok, err := f.Memory.Acquire(ctx, group, member, stream, ttl)
			if err == nil && !ok {
				_, err = f.Claim(ctx, lease.Key(group, stream))
			}
			return cp, ok, err
		}},
		"Acquire again is refused": {acquire: func(f *faulty, ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error) {
			if s, err := f.Members(ctx, group); err != nil || s.Owners[stream] == member {
				return checkpoint.Checkpoint{}, false, err
			}
			return f.Memory.Acquire(ctx, group, member, stream, ttl)
		}},
		"Acquire returns the epoch of before": {acquire: func(f *faulty, ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error) {
			cp, ok, err := f.Memory.Acquire(ctx, group, member, stream, ttl)
			cp.Epoch = max(cp.Epoch, 1) - 1
			return cp, ok, err
		}},
		"Acquire returns no offset": {acquire: func(f *faulty, ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error) {
			cp, ok, err := f.Memory.Acquire(ctx, group, member, stream, ttl)
			cp.Offset = ""
			return cp, ok, err
		}},
		"Acquire takes an empty time": {acquire: func(f *faulty, ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error) {
			return f.Memory.Acquire(ctx, group, member, stream, max(ttl, time.Second))
		}},
		"Renew makes no member": {renew: func(f *faulty, ctx context.Context, group, member string, streams []string, ttl time.Duration) (lease.State, error) {
			s, err := f.Memory.Renew(ctx, group, member, streams, ttl)
			if err == nil {
				s.Members = nil
			}
			return s, err
		}},
		"Renew prolongs nothing": {renew: func(f *faulty, ctx context.Context, group, member string, _ []string, ttl time.Duration) (lease.State, error) {
			return f.Memory.Renew(ctx, group, member, nil, ttl)
		}},
		"Renew prolongs all": {renew: func(f *faulty, ctx context.Context, group, member string, streams []string, ttl time.Duration) (lease.State, error) {
			return f.Memory.Renew(ctx, group, member, append(streams[:len(streams):len(streams)], "s", "t"), ttl)
		}},
		"Release by anybody": {release: func(f *faulty, ctx context.Context, group, _, stream string) error {
			s, err := f.Members(ctx, group)
			if err != nil || s.Owners[stream] == "" {
				return err
			}
			return f.Memory.Release(ctx, group, s.Owners[stream], stream)
		}},
		"Release does nothing": {release: func(*faulty, context.Context, string, string, string) error { return nil }},
		"Release of nothing fails": {release: func(f *faulty, ctx context.Context, group, member, stream string) error {
			if s, err := f.Members(ctx, group); err != nil || s.Owners[stream] != member {
				return backend.ErrConflict
			}
			return f.Memory.Release(ctx, group, member, stream)
		}},
		"Leave keeps the leases": {leave: func(f *faulty, ctx context.Context, group, member string) error {
			_, err := f.Memory.Renew(ctx, group, member, nil, time.Millisecond)
			return err
		}},
	} {
		t.Run(strings.ReplaceAll(fault, " ", "_"), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond) // for conditions that never hold
			defer cancel()
			for _, r := range rules {
				f.Memory = lease.NewMemory()
				if r.check(ctx, f) != nil {
					return
				}
			}
			t.Errorf("no rule notices: %s", fault)
		})
	}
}
