package checkpoint

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
)

// Memory is a Store in the memory of the process; nothing is left when the process ends. Use Memory for tests, and for
// consumers that follow a stream from its tail and have nothing to resume. Memory is as strict as the durable stores:
// claims, fencing and refusals are the same.
type Memory struct {
	mu    sync.Mutex
	byKey map[string]Checkpoint
}

var (
	_ Store  = (*Memory)(nil)
	_ Lister = (*Memory)(nil)
)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{byKey: make(map[string]Checkpoint)} }

// Load implements [Store].
func (m *Memory) Load(ctx context.Context, key string) (Checkpoint, error) {
	if err := checkCall(ctx, CheckKey(key)); err != nil {
		return Checkpoint{}, failed("load", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byKey[key], nil
}

// Claim implements [Store].
func (m *Memory) Claim(ctx context.Context, key string) (Checkpoint, error) {
	if err := checkCall(ctx, CheckKey(key)); err != nil {
		return Checkpoint{}, failed("claim", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	cp, err := Raise(m.byKey[key])
	if err != nil {
		return Checkpoint{}, failed("claim", key, err)
	}
	m.byKey[key] = cp
	return cp, nil
}

// Save implements [Store].
func (m *Memory) Save(ctx context.Context, key string, cp Checkpoint) error {
	if err := checkCall(ctx, CheckSave(key, cp)); err != nil {
		return failed("save", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := Fence(m.byKey[key], cp); err != nil {
		return failed("save", key, err)
	}
	m.byKey[key] = cp
	return nil
}

// Keys implements [Lister].
func (m *Memory) Keys(ctx context.Context) ([]string, error) {
	if err := checkCall(ctx, nil); err != nil {
		return nil, fmt.Errorf("checkpoint: list the keys: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Sorted(maps.Keys(m.byKey)), nil
}

// checkCall returns the reason to end a call before any change, or nil. A refused argument comes before the end of ctx,
// because no retry can help a refused argument.
func checkCall(ctx context.Context, refused error) error {
	if refused != nil {
		return refused
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	return nil
}

// failed names the call and the key. The key is cut to 64 bytes, which fit into a log line.
func failed(op, key string, err error) error {
	return fmt.Errorf("checkpoint: %s %.64q: %w", op, key, err)
}
