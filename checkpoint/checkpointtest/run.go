package checkpointtest

import (
	"context"
	"errors"
	"testing"

	"github.com/headrace/headrace/checkpoint"
)

// An Option tells Run more about a store.
type Option func(*config)

type config struct {
	reopen func(t *testing.T, old checkpoint.Store) checkpoint.Store
}

// Reopen adds rules that check whether a new handle finds the stored checkpoints. f makes a second store on the medium
// of old, as a process does after a restart. If the medium allows only one handle, f closes old first. Without Reopen
// these rules do not run.
func Reopen(f func(t *testing.T, old checkpoint.Store) checkpoint.Store) Option {
	return func(c *config) { c.reopen = f }
}

// Run checks the store that newStore makes against every rule of the contract. Each rule is a subtest, and -run selects a
// single rule. Run calls newStore once for each rule; newStore returns an empty store, and closes its resources with
// t.Cleanup. The rules use no clock.
func Run(t *testing.T, newStore func(t *testing.T) checkpoint.Store, opts ...Option) {
	t.Helper()
	var c config
	for _, opt := range opts {
		opt(&c)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			err := r.check(t.Context(), newStore(t))
			if errors.Is(err, errNotOffered) {
				t.Skip(err)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	if c.reopen == nil {
		return
	}
	for _, r := range reopenRules {
		t.Run(r.name, func(t *testing.T) {
			reopen := func(old checkpoint.Store) checkpoint.Store { return c.reopen(t, old) }
			if err := r.check(t.Context(), newStore(t), reopen); err != nil {
				t.Error(err)
			}
		})
	}
}

// A rule returns an error that describes the fault of a store, and does not fail a test itself. Therefore the suite's
// own tests can give a broken store to every rule, and check whether a rule finds the fault.
type rule struct {
	name  string
	check func(ctx context.Context, s checkpoint.Store) error
}

// A rule about an optional interface returns errNotOffered for a store without the interface.
var errNotOffered = errors.New("the store does not offer this")

// A reopenRule is a rule that also needs a new handle.
type reopenRule struct {
	name  string
	check func(ctx context.Context, s checkpoint.Store, reopen func(checkpoint.Store) checkpoint.Store) error
}

var rules = []rule{
	{"LoadOfNothingIsZero", loadOfNothing},
	{"LoadDoesNotClaim", loadDoesNotClaim},
	{"ClaimRaisesTheEpoch", claimRaises},
	{"ClaimKeepsTheOffset", claimKeeps},
	{"SaveUnderTheCurrentEpoch", saveCurrent},
	{"AheadIsKept", aheadKept},
	{"DamagedAheadIsRefused", damagedAhead},
	{"SaveDoesNotCompareOffsets", saveBackwards},
	{"SaveAgainIsHarmless", saveAgain},
	{"SaveUnderAnOlderEpochIsFenced", saveOlder},
	{"SaveOfAnEpochNeverClaimedIsFenced", saveUnclaimed},
	{"SaveOfAnEmptyOffsetIsRefused", saveEmpty},
	{"EmptyKeyIsRefused", emptyKey},
	{"KeysAreIndependent", keysIndependent},
	{"KeysAndOffsetsAreKeptByteForByte", bytesKept},
	{"KeysAndOffsetsAtTheLimit", atTheLimit},
	{"KeysAndOffsetsBeyondTheLimit", beyondTheLimit},
	{"KeysAreListed", keysListed},
	{"EndedContextChangesNothing", endedContext},
	{"ConcurrentClaimsGetEpochsOfTheirOwn", concurrentClaims},
	{"ClaimSeesEverySaveAndStopsTheNext", claimAgainstSaves},
	{"ConcurrentKeys", concurrentKeys},
}

var reopenRules = []reopenRule{
	{"ReopenKeepsCheckpoints", reopenKeeps},
	{"ReopenGoesOnWithTheEpochs", reopenEpochs},
}
