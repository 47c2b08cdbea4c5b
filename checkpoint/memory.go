package checkpoint

import (
	"context"
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
)

// Memory is a Store that lives and dies with the process. It is for tests, and for consumers that follow a stream from
// its tail and have nothing to resume. It is as strict as the durable ones: claims, fencing and refusals are the same.
type Memory struct {
	mu    sync.Mutex
	byKey map[string]Checkpoint
}

var _ Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory { return &Memory{byKey: make(map[string]Checkpoint)} }

// Load implements [Store].
func (m *Memory) Load(ctx context.Context, key string) (Checkpoint, error) {
	if err := begin(ctx, CheckKey(key)); err != nil {
		return Checkpoint{}, failed("load", key, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.byKey[key], nil
}

// Claim implements [Store].
func (m *Memory) Claim(ctx context.Context, key string) (Checkpoint, error) {
	if err := begin(ctx, CheckKey(key)); err != nil {
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
	if err := begin(ctx, CheckSave(key, cp)); err != nil {
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

// begin says why a call is over before it touches anything: a refused argument, which no retry mends, before the end of
// ctx.
func begin(ctx context.Context, refused error) error {
	if refused != nil {
		return refused
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	return nil
}

// failed names the call and, cut to what fits a log line, the key.
func failed(op, key string, err error) error {
	return fmt.Errorf("checkpoint: %s %.64q: %w", op, key, err)
}
