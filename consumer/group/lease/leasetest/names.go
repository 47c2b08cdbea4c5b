package leasetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/consumer/group/lease"
)

func groupsApart(ctx context.Context, s lease.Store) error {
	if err := acquire(ctx, s, "a", "s", long, true); err != nil {
		return err
	}
	save, err := claimed(ctx, s, "s")
	if err != nil {
		return err
	}
	if _, ok, err := s.Acquire(ctx, "shipping", "b", "s", long); err != nil || !ok {
		return fmt.Errorf("the same stream in another group: %v, %v", ok, err)
	}
	state, err := s.Renew(ctx, "shipping", "b", []string{"s"}, long)
	if err != nil || !slices.Equal(state.Members, []string{"b"}) || state.Owners["s"] != "b" {
		return fmt.Errorf("state of the other group: %v, %v", state, err)
	}
	return errors.Join(save(), s.Leave(ctx, "shipping", "b"), owners(ctx, s, map[string]string{"s": "a"}))
}

func concurrentAcquire(ctx context.Context, s lease.Store) error {
	const members, streams = 6, 5
	for i := range streams {
		var all sync.WaitGroup
		var won atomic.Int32
		failures := make([]error, members)
		for m := range members {
			all.Go(func() {
				ok, err := false, error(nil)
				for {
					// A store may ask for another attempt where transactions collide.
					_, ok, err = s.Acquire(ctx, group, fmt.Sprint("member", m), fmt.Sprint("stream", i), long)
					if !errors.Is(err, backend.ErrTransient) || ctx.Err() != nil {
						break
					}
				}
				if failures[m] = err; ok {
					won.Add(1)
				}
			})
		}
		all.Wait()
		if err := errors.Join(failures...); err != nil || won.Load() != 1 {
			return fmt.Errorf("%d members acquired the stream, %v; want 1", won.Load(), err)
		}
	}
	return nil
}

func concurrentRenew(ctx context.Context, s lease.Store) error {
	const members = 6
	var all sync.WaitGroup
	failures := make([]error, members)
	for m := range members {
		all.Go(func() {
			member, stream := fmt.Sprint("member", m), fmt.Sprint("stream", m)
			for range 10 {
				_, _, err := s.Acquire(ctx, group, member, stream, long)
				if err == nil {
					_, err = s.Renew(ctx, group, member, []string{stream}, long)
				}
				if err != nil && !errors.Is(err, backend.ErrTransient) {
					failures[m] = err
				}
			}
		})
	}
	all.Wait()
	if err := errors.Join(failures...); err != nil {
		return err
	}
	for m := range members {
		if _, err := s.Renew(ctx, group, fmt.Sprint("member", m), nil, long); err != nil {
			return err
		}
	}
	state, err := s.Members(ctx, group)
	if err != nil || len(state.Members) != members || len(state.Owners) != members {
		return fmt.Errorf("state %v, %v, want %d members with a stream each", state, err, members)
	}
	return nil
}

// strangeNames checks whether the store keeps names byte for byte. The store may refuse names other than text.
func strangeNames(ctx context.Context, s lease.Store) error {
	want := make(map[string]string)
	for _, name := range []string{
		"a", "A", "a ", " a", "a/", "a/b", "é", "e\u0301", "%", "_", `quote"'\`, "<&>", "\u2028", "[1]", "null", "☃\U0001F30A", "line\nline",
		strings.Repeat("s", 900),
	} {
		if err := acquire(ctx, s, "m", name, long, true); err != nil {
			return err
		}
		want[name] = "m"
	}
	for _, name := range []string{"NUL\x00", "latin-1: K\xf6ln"} {
		_, ok, err := s.Acquire(ctx, group, "m", name, long)
		if ok {
			want[name] = "m"
		} else if !errors.Is(err, backend.ErrRejected) {
			return fmt.Errorf("stream %q: %v, %v", name, ok, err)
		}
	}
	names := make([]string, 0, len(want))
	for name := range want {
		names = append(names, name)
	}
	if _, err := s.Renew(ctx, group, "m", names, long); err != nil {
		return err
	}
	return owners(ctx, s, want)
}

func wrongArguments(ctx context.Context, s lease.Store) error {
	type names struct{ group, member, stream string }
	tooLong := strings.Repeat("x", 2000)
	for _, n := range []names{
		{"", "m", "s"}, {group, "", "s"}, {group, "m", ""}, {"a/b", "m", "s"},
		{tooLong, "m", "s"}, {group, tooLong, "s"}, {group, "m", tooLong},
	} {
		_, _, acquired := s.Acquire(ctx, n.group, n.member, n.stream, long)
		_, renewed := s.Renew(ctx, n.group, n.member, []string{n.stream}, long)
		for _, err := range []error{acquired, renewed, s.Release(ctx, n.group, n.member, n.stream)} {
			if !errors.Is(err, backend.ErrRejected) && !errors.Is(err, backend.ErrTooLarge) {
				return fmt.Errorf("%.40q: %v, want ErrRejected or ErrTooLarge", n, err)
			}
		}
	}
	_, _, acquired := s.Acquire(ctx, group, "m", "s", 0)
	_, renewed := s.Renew(ctx, group, "m", nil, -1)
	if !errors.Is(acquired, backend.ErrRejected) || !errors.Is(renewed, backend.ErrRejected) {
		return fmt.Errorf("no time: %v, %v, want ErrRejected", acquired, renewed)
	}
	if _, err := s.Members(ctx, ""); !errors.Is(err, backend.ErrRejected) {
		return fmt.Errorf("members of no group: %v", err)
	}
	return nil
}

func endedContext(ctx context.Context, s lease.Store) error {
	ended, end := context.WithCancel(ctx)
	end()
	_, _, acquired := s.Acquire(ended, group, "m", "s", long)
	_, renewed := s.Renew(ended, group, "m", nil, long)
	_, asked := s.Members(ended, group)
	for _, err := range []error{acquired, renewed, asked, s.Release(ended, group, "m", "s"), s.Leave(ended, group, "m")} {
		if !errors.Is(err, context.Canceled) || !errors.Is(err, backend.ErrTransient) {
			return fmt.Errorf("after the end of ctx: %v, want ErrTransient and ctx's error", err)
		}
	}
	return emptyGroup(ctx, s)
}
