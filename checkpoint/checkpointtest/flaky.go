package checkpointtest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// ErrInjected is in every error that a [Flaky] makes up without being given one.
var ErrInjected = errors.New("injected fault")

// An Op is a method of a [checkpoint.Store].
type Op int

// The methods that a [Fault] can hit.
const (
	Load Op = iota
	Claim
	Save
)

// String returns the name of the method in lower case.
func (o Op) String() string {
	names := [...]string{Load: "load", Claim: "claim", Save: "save"}
	if o < 0 || int(o) >= len(names) {
		return fmt.Sprintf("op %d", int(o))
	}
	return names[o]
}

// A Fault says which calls of one method fail, and how.
type Fault struct {
	Op    Op
	Nth   int  // the first call that fails, counted from 1 for each Op; 0 is the first call of all
	Times int  // how many calls in a row; 0 is one, a negative number all that follow
	After bool // the call takes effect and its reply is lost; otherwise it never reaches the store

	// Err is what the call returns. Nil is ErrInjected with what is true of such a call: backend.ErrTransient for one
	// that did not reach the store, backend.ErrIndeterminate for a lost reply.
	Err error
}

// hits reports whether the n-th call of op fails by this fault.
func (f *Fault) hits(op Op, n int) bool {
	first := max(f.Nth, 1)
	return f.Op == op && n >= first && (f.Times < 0 || n < first+max(f.Times, 1))
}

func (f *Fault) failure() error {
	fact, when := backend.ErrTransient, "before it took effect"
	if f.After {
		fact, when = backend.ErrIndeterminate, "after it took effect"
	}
	if f.Err != nil {
		return f.Err
	}
	return fmt.Errorf("checkpointtest: %v failed %s: %w: %w", f.Op, when, fact, ErrInjected)
}

// Flaky is a [checkpoint.Store] that fails the calls it was told to and hands on all others.
type Flaky struct {
	store  checkpoint.Store
	faults []Fault

	mu    sync.Mutex
	calls map[Op]int
}

var _ checkpoint.Store = (*Flaky)(nil)

// NewFlaky wraps store. Where several faults hit one call, the first given counts. A call that the store itself refuses
// returns the store's error, a lost reply or not.
func NewFlaky(store checkpoint.Store, faults ...Fault) *Flaky {
	return &Flaky{store: store, faults: faults, calls: make(map[Op]int)}
}

// Calls returns how often op has been called, failed calls included.
func (f *Flaky) Calls(op Op) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls[op]
}

// Load implements [checkpoint.Store].
func (f *Flaky) Load(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	err = f.call(Load, func() error { cp, err = f.store.Load(ctx, key); return err })
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	return cp, nil
}

// Claim implements [checkpoint.Store].
func (f *Flaky) Claim(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	err = f.call(Claim, func() error { cp, err = f.store.Claim(ctx, key); return err })
	if err != nil {
		return checkpoint.Checkpoint{}, err
	}
	return cp, nil
}

// Save implements [checkpoint.Store].
func (f *Flaky) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	return f.call(Save, func() error { return f.store.Save(ctx, key, cp) })
}

// call counts op and runs do unless a fault comes before it. No lock is held while the store works.
func (f *Flaky) call(op Op, do func() error) error {
	f.mu.Lock()
	f.calls[op]++
	n := f.calls[op]
	f.mu.Unlock()
	for i := range f.faults {
		fault := &f.faults[i]
		if !fault.hits(op, n) {
			continue
		}
		if fault.After {
			if err := do(); err != nil {
				return err
			}
		}
		return fault.failure()
	}
	return do()
}
