package checkpointtest

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

func TestRunOnMemory(t *testing.T) {
	Run(t, func(*testing.T) checkpoint.Store { return checkpoint.NewMemory() })
}

// TestRunWithReopen: a memory store that is handed on plays a medium that outlives its handle.
func TestRunWithReopen(t *testing.T) {
	Run(t, func(*testing.T) checkpoint.Store { return checkpoint.NewMemory() },
		Reopen(func(_ *testing.T, old checkpoint.Store) checkpoint.Store { return old }))
}

// A faulty store is a map with one thing wrong: each field, where set, replaces what a good store does.
type faulty struct {
	mu sync.Mutex
	m  map[string]checkpoint.Checkpoint

	key      func(string) string
	offset   func(backend.Offset) backend.Offset
	load     func(*faulty, string)
	raise    func(checkpoint.Checkpoint) checkpoint.Checkpoint
	fence    func(stored, saved checkpoint.Checkpoint) error
	check    func(key string, cp checkpoint.Checkpoint) error
	context  func(context.Context) error
	keys     func([]string) []string
	twoSteps bool // reads and writes are two steps
	begun    int  // updates, of twoSteps
}

func (f *faulty) Load(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	if err := f.begin(ctx, key, checkpoint.Checkpoint{Offset: "1", Epoch: 1}); err != nil {
		return checkpoint.Checkpoint{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.load != nil {
		f.load(f, key)
	}
	return f.m[f.name(key)], nil
}

func (f *faulty) Claim(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	if err := f.begin(ctx, key, checkpoint.Checkpoint{Offset: "1", Epoch: 1}); err != nil {
		return checkpoint.Checkpoint{}, err
	}
	cp := f.update(key, func(cp checkpoint.Checkpoint) checkpoint.Checkpoint {
		if f.raise != nil {
			return f.raise(cp)
		}
		cp.Epoch++
		return cp
	})
	return cp, nil
}

func (f *faulty) Save(ctx context.Context, key string, saved checkpoint.Checkpoint) (err error) {
	if err := f.begin(ctx, key, saved); err != nil {
		return err
	}
	fence := checkpoint.Fence
	if f.fence != nil {
		fence = f.fence
	}
	f.update(key, func(stored checkpoint.Checkpoint) checkpoint.Checkpoint {
		if err = fence(stored, saved); err != nil {
			return stored
		}
		if f.offset != nil {
			saved.Offset = f.offset(saved.Offset)
		}
		return saved
	})
	return err
}

func (f *faulty) Keys(ctx context.Context) ([]string, error) {
	if err := f.begin(ctx, "any", checkpoint.Checkpoint{Offset: "1", Epoch: 1}); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	keys := slices.Sorted(maps.Keys(f.m))
	if f.keys != nil {
		keys = f.keys(keys)
	}
	return keys, nil
}

func (f *faulty) begin(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	check := checkpoint.CheckSave
	if f.check != nil {
		check = f.check
	}
	if err := check(key, cp); err != nil {
		return err
	}
	if f.context != nil {
		return f.context(ctx)
	}
	if ctx.Err() != nil {
		return fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())
	}
	return nil
}

func (f *faulty) name(key string) string {
	if f.key == nil {
		return key
	}
	return f.key(key)
}

func (f *faulty) update(key string, change func(checkpoint.Checkpoint) checkpoint.Checkpoint) checkpoint.Checkpoint {
	f.mu.Lock()
	defer f.mu.Unlock()
	cp := f.m[f.name(key)]
	if f.twoSteps {
		f.begun++
		begun := f.begun
		for i := 0; i < 1000 && f.begun == begun; i++ { // lets another call in between, without a clock
			f.mu.Unlock()
			runtime.Gosched()
			f.mu.Lock()
		}
	}
	cp = change(cp)
	f.m[f.name(key)] = cp
	return cp
}

// broken maps each mistake to the rules that must notice it; the first store is sound and none may.
var broken = []struct {
	name    string
	store   *faulty
	noticed []string
}{
	{"sound", &faulty{}, nil},
	{"load claims", &faulty{load: func(f *faulty, key string) {
		cp := f.m[key]
		cp.Epoch++
		f.m[key] = cp
	}}, []string{"LoadOfNothingIsZero", "LoadDoesNotClaim"}},
	{"claim does not raise", &faulty{raise: func(cp checkpoint.Checkpoint) checkpoint.Checkpoint {
		cp.Epoch = max(cp.Epoch, 1)
		return cp
	}}, []string{"ClaimRaisesTheEpoch", "ClaimKeepsTheOffset", "SaveUnderAnOlderEpochIsFenced",
		"ConcurrentClaimsGetEpochsOfTheirOwn"}},
	{"claim drops the offset", &faulty{raise: func(cp checkpoint.Checkpoint) checkpoint.Checkpoint {
		return checkpoint.Checkpoint{Epoch: cp.Epoch + 1}
	}}, []string{"ClaimKeepsTheOffset", "ClaimSeesEverySaveAndStopsTheNext"}},
	{"never fences", &faulty{fence: func(_, _ checkpoint.Checkpoint) error { return nil }},
		[]string{"SaveUnderAnOlderEpochIsFenced", "SaveOfAnEpochNeverClaimedIsFenced", "ClaimSeesEverySaveAndStopsTheNext"}},
	{"takes higher epochs", &faulty{fence: func(stored, saved checkpoint.Checkpoint) error {
		if saved.Epoch > stored.Epoch {
			return nil
		}
		return checkpoint.Fence(stored, saved)
	}}, []string{"SaveOfAnEpochNeverClaimedIsFenced"}},
	{"fences with another error", &faulty{fence: func(stored, saved checkpoint.Checkpoint) error {
		if checkpoint.Fence(stored, saved) != nil {
			return backend.ErrConflict
		}
		return nil
	}}, []string{"SaveUnderAnOlderEpochIsFenced"}},
	{"refuses a repeated save", &faulty{fence: func(stored, saved checkpoint.Checkpoint) error {
		if stored == saved {
			return backend.ErrConflict
		}
		return checkpoint.Fence(stored, saved)
	}}, []string{"SaveAgainIsHarmless"}},
	{"compares offsets", &faulty{fence: func(stored, saved checkpoint.Checkpoint) error {
		if saved.Offset < stored.Offset {
			return backend.ErrConflict
		}
		return checkpoint.Fence(stored, saved)
	}}, []string{"SaveDoesNotCompareOffsets"}},
	{"checks nothing", &faulty{check: func(string, checkpoint.Checkpoint) error { return nil }},
		[]string{"SaveOfAnEmptyOffsetIsRefused", "SaveOfAnEpochNeverClaimedIsFenced", "EmptyKeyIsRefused",
			"KeysAndOffsetsBeyondTheLimit", "DamagedAheadIsRefused"}},
	{"folds case", &faulty{key: strings.ToLower}, []string{"KeysAreIndependent"}},
	{"trims keys", &faulty{key: strings.TrimSpace}, []string{"KeysAreIndependent"}},
	{"cuts keys", &faulty{key: func(k string) string { return k[:min(len(k), 255)] }}, []string{"KeysAndOffsetsAtTheLimit"}},
	{"forgets Ahead", &faulty{raise: func(cp checkpoint.Checkpoint) checkpoint.Checkpoint {
		return checkpoint.Checkpoint{Offset: cp.Offset, Epoch: cp.Epoch + 1}
	}}, []string{"AheadIsKept"}},
	{"cuts offsets", &faulty{offset: func(o backend.Offset) backend.Offset { return o[:min(len(o), 255)] }},
		[]string{"KeysAndOffsetsAtTheLimit"}},
	{"mangles what is not UTF-8", &faulty{offset: func(o backend.Offset) backend.Offset {
		return backend.Offset(strings.ToValidUTF8(string(o), "\ufffd"))
	}}, []string{"KeysAndOffsetsAreKeptByteForByte"}},
	{"ignores the context", &faulty{context: func(context.Context) error { return nil }}, []string{"EndedContextChangesNothing", "KeysAreListed"}},
	{"lists keys as a language sorts them", &faulty{keys: func(keys []string) []string {
		slices.SortStableFunc(keys, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
		return keys
	}}, []string{"KeysAreListed"}},
	{"lists too few keys", &faulty{keys: func(keys []string) []string { return keys[:len(keys)/2] }}, []string{"KeysAreListed"}},
	{"two steps", &faulty{twoSteps: true}, []string{"ConcurrentClaimsGetEpochsOfTheirOwn"}},
}

func TestRulesNoticeBrokenStores(t *testing.T) {
	for _, b := range broken {
		t.Run(b.name, func(t *testing.T) {
			for _, r := range rules {
				b.store.m = make(map[string]checkpoint.Checkpoint)
				err := r.check(t.Context(), b.store)
				if err == nil && slices.Contains(b.noticed, r.name) {
					t.Errorf("%s did not notice", r.name)
				}
				if err != nil && b.noticed == nil {
					t.Errorf("%s: %v", r.name, err)
				}
			}
		})
	}
}

func TestReopenRulesNoticeAForgetfulStore(t *testing.T) {
	forget := func(checkpoint.Store) checkpoint.Store { return checkpoint.NewMemory() }
	for _, r := range reopenRules {
		if err := r.check(t.Context(), checkpoint.NewMemory(), forget); err == nil {
			t.Errorf("%s did not notice a store that forgets", r.name)
		}
	}
}
