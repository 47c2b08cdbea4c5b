package histories

import (
	"context"
	"sync"

	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/checkpointtest"
)

// A guard stands right before the checkpoint store and sees what is really stored under one key.
type guard struct {
	h *history

	mu    sync.Mutex // also held while the store works, so that what is noted has the store's order
	at    int        // the place stored; 0: none
	maybe int        // a save that failed may have stored this
}

func newGuard(h *history) *guard { return &guard{h: h} }

func (g *guard) Load(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	return g.h.store.Load(ctx, key)
}

// Claim checks that the store returns what was saved last.
func (g *guard) Claim(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	cp, err := g.h.store.Claim(ctx, key)
	if err != nil {
		return cp, err
	}
	at := 0
	if cp.Offset != "" {
		at = place(cp.Offset)
	}
	if at != g.at && at != g.maybe {
		g.h.errorf("%s: a claim found the place %d, and %d was saved", key, at, g.at)
	}
	g.at, g.maybe = at, at
	return cp, nil
}

// Save checks that no place moves back.
func (g *guard) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	err := g.h.store.Save(ctx, key, cp)
	at := place(cp.Offset)
	switch {
	case err != nil:
		g.maybe = at
	case at < g.at:
		g.h.errorf("%s: the stored place moved back from %d to %d", key, g.at, at)
		fallthrough
	default:
		g.at, g.maybe = at, at
	}
	return err
}

// A countedStore counts the calls that fail.
type countedStore struct {
	*checkpointtest.Flaky
	h *history
}

func (s countedStore) count(err error) {
	if err != nil {
		s.h.counts.faults.Add(1)
	}
}

func (s countedStore) Load(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	defer func() { s.count(err) }()
	return s.Flaky.Load(ctx, key)
}

func (s countedStore) Claim(ctx context.Context, key string) (cp checkpoint.Checkpoint, err error) {
	defer func() { s.count(err) }()
	return s.Flaky.Claim(ctx, key)
}

func (s countedStore) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) (err error) {
	defer func() { s.count(err) }()
	return s.Flaky.Save(ctx, key, cp)
}
