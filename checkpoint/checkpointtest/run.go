package checkpointtest

import (
	"context"
	"testing"

	"github.com/headrace/headrace/checkpoint"
)

// An Option says what else a store can do.
type Option func(*config)

type config struct {
	reopen func(t *testing.T, old checkpoint.Store) checkpoint.Store
}

// Reopen adds the rules about what outlives a handle. f makes a second store on the medium of old, as a process does
// that was started again; it closes old first where the medium allows only one. Without Reopen those rules do not run.
func Reopen(f func(t *testing.T, old checkpoint.Store) checkpoint.Store) Option {
	return func(c *config) { c.reopen = f }
}

// Run checks the store that newStore makes against every rule of the contract, one subtest a rule, so that a single rule
// can be run with -run. newStore is called once a rule and returns an empty store; what it opens it closes with
// t.Cleanup. The rules use no clock.
func Run(t *testing.T, newStore func(t *testing.T) checkpoint.Store, opts ...Option) {
	t.Helper()
	var c config
	for _, opt := range opts {
		opt(&c)
	}
	for _, r := range rules {
		t.Run(r.name, func(t *testing.T) {
			if err := r.check(t.Context(), newStore(t)); err != nil {
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

// A rule returns what a store does wrong instead of failing a test, so that the suite's own tests can hand broken stores
// to every rule and see that it is noticed.
type rule struct {
	name  string
	check func(ctx context.Context, s checkpoint.Store) error
}

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
	{"EndedContextChangesNothing", endedContext},
	{"ConcurrentClaimsGetEpochsOfTheirOwn", concurrentClaims},
	{"ClaimSeesEverySaveAndStopsTheNext", claimAgainstSaves},
	{"ConcurrentKeys", concurrentKeys},
}

var reopenRules = []reopenRule{
	{"ReopenKeepsCheckpoints", reopenKeeps},
	{"ReopenGoesOnWithTheEpochs", reopenEpochs},
}
