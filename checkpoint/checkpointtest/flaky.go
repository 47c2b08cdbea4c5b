package checkpointtest

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// ErrInjected is in every error of a [Flaky], except where a Fault has its own error.
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
	Nth   int  // number of the first failing call, counted from 1 for each Op; 0 means 1
	Times int  // how many calls in a row fail; 0 means 1, a negative number means all further calls
	After bool // the call takes effect and its reply is lost; otherwise the call never reaches the store

	// Err is the error of the call. If Err is nil, the call returns ErrInjected, together with backend.ErrTransient if
	// the call did not reach the store, or with backend.ErrIndeterminate if the reply was lost.
	Err error
}

// hits reports whether this fault makes the n-th call of op fail.
func (f *Fault) hits(op Op, n int) bool {
	first := max(f.Nth, 1)
	return f.Op == op && n >= first && (f.Times < 0 || n < first+max(f.Times, 1))
}

// failure returns the error of a call that this fault hits.
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

// Flaky is a [checkpoint.Store] that lets the chosen calls fail and passes all other calls to the wrapped store.
type Flaky struct {
	store  checkpoint.Store
	faults []Fault

	mu    sync.Mutex
	calls map[Op]int
}

var _ checkpoint.Store = (*Flaky)(nil)

// NewFlaky wraps store. If several faults hit one call, the first fault in the list counts. If the store itself refuses
// a call, the caller gets the store's error, even where a fault would lose the reply.
func NewFlaky(store checkpoint.Store, faults ...Fault) *Flaky {
	return &Flaky{store: store, faults: faults, calls: make(map[Op]int)}
}

// Calls returns how many times op has been called, failed calls included.
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

// call counts the call of op and runs do, unless a fault prevents it. No lock is held while the store works.
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
