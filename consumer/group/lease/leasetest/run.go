package leasetest

import (
	"context"
	"fmt"
	"maps"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/consumer/group/lease"
)

// Run checks a store against every rule of the contract. Each rule is a subtest. Run calls newStore once for each rule;
// newStore returns an empty store, and closes its resources with t.Cleanup. The rules wait for leases of a few
// milliseconds to expire, and assert no timing.
func Run(t *testing.T, newStore func(t *testing.T) lease.Store) {
	t.Helper()
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if err := r.check(t.Context(), newStore(t)); err != nil {
				t.Error(err)
			}
		})
	}
}

// A rule returns the fault of a store as an error, and does not fail a test itself. Therefore the suite's own tests can
// give a broken store to every rule.
type rule struct {
	name  string
	check func(ctx context.Context, s lease.Store) error
}

var rules = []rule{
	{"AGroupThatNobodyJoinedIsEmpty", emptyGroup},
	{"RenewMakesAMember", renewJoins},
	{"AMemberThatIsSilentIsNoMemberAnyMore", silentMember},
	{"ALeaseHasOneOwner", oneOwner},
	{"AcquireAgainByTheOwner", acquireAgain},
	{"AnExpiredLeaseIsFree", expiredIsFree},
	{"ARenewedLeaseStays", renewedStays},
	{"RenewProlongsOnlyTheStreamsItNames", renewNames},
	{"RenewProlongsAnExpiredLeaseThatNobodyTook", renewExpired},
	{"RenewDoesNotTakeALostLeaseBack", renewLost},
	{"ReleaseFrees", releaseFrees},
	{"ReleaseByAnotherChangesNothing", releaseByAnother},
	{"LeaveReleasesAndEndsTheMembership", leaveEnds},
	{"AcquireFencesTheOwnerBefore", acquireFences},
	{"AcquireThatFailsFencesNobody", failedAcquire},
	{"AcquireReturnsTheCheckpointUnderItsEpoch", acquiredCheckpoint},
	{"GroupsAreIndependent", groupsApart},
	{"OfManyThatAcquireAtOnceOneSucceeds", concurrentAcquire},
	{"ManyMembersRenewAtOnce", concurrentRenew},
	{"StrangeNamesAreKeptOrRefused", strangeNames},
	{"WrongArgumentsAreRefused", wrongArguments},
	{"EndedContextChangesNothing", endedContext},
}

const (
	group = "billing"
	long  = time.Hour             // does not expire within a test
	short = 20 * time.Millisecond // expires while a rule waits
)

// acquire is Acquire that must return want.
func acquire(ctx context.Context, s lease.Store, member, stream string, ttl time.Duration, want bool) error {
	_, ok, err := s.Acquire(ctx, group, member, stream, ttl)
	if err != nil || ok != want {
		return fmt.Errorf("the result of Acquire of %s by %s: %v, %v, want %v", stream, member, ok, err, want)
	}
	return nil
}

// owners checks the owners of all leases.
func owners(ctx context.Context, s lease.Store, want map[string]string) error {
	state, err := s.Members(ctx, group)
	if err != nil || !maps.Equal(state.Owners, want) {
		return fmt.Errorf("owners %v, %v, want %v", state.Owners, err, want)
	}
	return nil
}

// until waits for a condition. A condition that never holds ends with the test's deadline.
func until(ctx context.Context, what string, f func() (bool, error)) error {
	for {
		if ok, err := f(); ok || err != nil {
			return err
		}
		select {
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, ctx.Err())
		}
	}
}

// untilFree waits until nobody holds stream.
func untilFree(ctx context.Context, s lease.Store, stream string) error {
	return until(ctx, "the lease does not expire", func() (bool, error) {
		state, err := s.Members(ctx, group)
		return state.Owners[stream] == "", err
	})
}

// claimed claims the checkpoint of stream, and returns a function that saves under the claim.
func claimed(ctx context.Context, s lease.Store, stream string) (save func() error, err error) {
	key := lease.Key(group, stream)
	cp, err := s.Claim(ctx, key)
	cp.Offset = backend.Offset("1")
	return func() error { return s.Save(ctx, key, cp) }, err
}
