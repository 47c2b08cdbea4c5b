package lease

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// A Store keeps the leases of groups together with the checkpoints of their streams, because an acquisition must raise
// the epoch of the checkpoint in the same step. Many goroutines and many processes may use a Store at once.
//
// A failure that may pass wraps [backend.ErrTransient], the end of ctx included. A wrong argument is
// [backend.ErrRejected] or [backend.ErrTooLarge].
type Store interface {
	checkpoint.Store

	// Acquire takes the lease on stream for ttl, raises the epoch of the stream's checkpoint, and returns the checkpoint,
	// in one step. While another member holds the lease, Acquire returns false and changes nothing. A member may acquire
	// its own lease again. Acquire waits for open transactions that have saved the stream's checkpoint.
	//
	// A member must take its epochs from Acquire alone. Claim does not look at the lease: with Claim, a member that was
	// suspended for longer than its lease would fence the new owner.
	Acquire(ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error)

	// Renew says that member is alive for another ttl, and prolongs its leases on streams by ttl from now. Renew returns
	// the new state of the group. If the state does not show a stream under member, another member has acquired the
	// lease, and Renew did not prolong the lease. The first call makes member a member of the group.
	Renew(ctx context.Context, group, member string, streams []string, ttl time.Duration) (State, error)

	// Release gives the lease on stream back. If member does not hold the lease, Release changes nothing.
	Release(ctx context.Context, group, member, stream string) error

	// Leave gives all leases of member back, and ends its membership.
	Leave(ctx context.Context, group, member string) error

	// Members returns the state of the group, for observers.
	Members(ctx context.Context, group string) (State, error)
}

// A State describes a group at one moment.
type State struct {
	Members []string          // that are alive, in the order of their bytes
	Owners  map[string]string // the member that holds each stream; streams that nobody holds are missing
}

// MemberBytes is the limit of a member's name.
const MemberBytes = 256

// Key is the key of the checkpoint of a stream in a group. A group's name contains no slash, so two different pairs have
// different keys.
func Key(group, stream string) string { return stream + "/" + group }

// Check is for authors of a [Store]: it returns the reason to refuse these names, or nil.
func Check(group, member string, streams ...string) error {
	switch {
	case len(member) == 0:
		return fmt.Errorf("%w: the name of the member is empty", backend.ErrRejected)
	case len(member) > MemberBytes:
		return fmt.Errorf("%w: the name of the member has %d bytes, the limit is %d", backend.ErrTooLarge, len(member), MemberBytes)
	}
	if err := CheckGroup(group); err != nil {
		return err
	}
	for _, s := range streams {
		if s == "" {
			return fmt.Errorf("%w: the name of a stream is empty", backend.ErrRejected)
		}
		if err := checkpoint.CheckKey(Key(group, s)); err != nil {
			return fmt.Errorf("stream %.64q of group %.64q: %w", s, group, err)
		}
	}
	return nil
}

// CheckGroup is for authors of a [Store]: it returns the reason to refuse the name of a group, or nil.
func CheckGroup(group string) error {
	switch {
	case group == "":
		return fmt.Errorf("%w: the name of the group is empty", backend.ErrRejected)
	case strings.Contains(group, "/"):
		return fmt.Errorf("%w: the name of the group %.64q contains a slash, which separates it from the stream in the key of a checkpoint",
			backend.ErrRejected, group)
	}
	return checkpoint.CheckKey(group)
}

// CheckTTL is for authors of a [Store]: it returns the reason to refuse ttl, or nil. Stores count in milliseconds.
func CheckTTL(ttl time.Duration) error {
	if ttl < time.Millisecond {
		return fmt.Errorf("%w: a lease of %v: must be at least 1 ms", backend.ErrRejected, ttl)
	}
	return nil
}
