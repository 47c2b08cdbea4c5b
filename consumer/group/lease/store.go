package lease

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// A Store keeps the leases of groups, and the checkpoints of their streams. It keeps both, because an acquisition must
// raise the epoch of the checkpoint in the same step. Many goroutines and many processes may use a Store at once.
//
// A failure that may pass wraps [backend.ErrTransient], the end of ctx included. An argument that no retry mends is
// [backend.ErrRejected] or [backend.ErrTooLarge].
type Store interface {
	checkpoint.Store

	// Acquire takes the lease on stream for ttl, raises the epoch of the stream's checkpoint, and returns the checkpoint,
	// in one step. It returns false, and changes nothing, while another member holds the lease. A member that holds the
	// lease may acquire it again. Acquire waits for transactions that have saved the stream's checkpoint and are not
	// committed yet.
	//
	// A member must take its epochs from Acquire alone. Claim does not look at the lease: a member that was suspended for
	// longer than its lease would fence the member that holds the lease now.
	Acquire(ctx context.Context, group, member, stream string, ttl time.Duration) (checkpoint.Checkpoint, bool, error)

	// Renew says that member is alive for another ttl, and prolongs its leases on streams by ttl from now. It returns the
	// state of the group after that. A stream that the state does not show under member was lost to another member,
	// and was not prolonged. The first call makes member a member of the group.
	Renew(ctx context.Context, group, member string, streams []string, ttl time.Duration) (State, error)

	// Release gives the lease on stream back. It changes nothing if member does not hold it.
	Release(ctx context.Context, group, member, stream string) error

	// Leave gives all leases of member back, and ends its membership.
	Leave(ctx context.Context, group, member string) error

	// Members returns the state of the group. It is for observers.
	Members(ctx context.Context, group string) (State, error)
}

// A State is what a group looks like at one moment.
type State struct {
	Members []string          // that are alive, in the order of their bytes
	Owners  map[string]string // the member that holds each stream; streams that nobody holds are missing
}

// MemberBytes is the limit of a member's name.
const MemberBytes = 256

// Key is the key of the checkpoint of a stream in a group. A group's name contains no slash, so two pairs never have the
// same key.
func Key(group, stream string) string { return stream + "/" + group }

// Check is for authors of a [Store]: it returns why no store takes these names, or nil.
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

// CheckGroup is for authors of a [Store]: it returns why no store takes the name of this group, or nil.
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

// CheckTTL is for authors of a [Store]: it returns why no store takes ttl, or nil. Stores count in milliseconds.
func CheckTTL(ttl time.Duration) error {
	if ttl < time.Millisecond {
		return fmt.Errorf("%w: a lease of %v: must be at least 1 ms", backend.ErrRejected, ttl)
	}
	return nil
}
