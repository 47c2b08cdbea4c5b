package streamstore_test

import (
	"context"
	"sync/atomic"

	"github.com/headrace/headrace/checkpoint"
)

// A rotating store gives each call to the next of several stores.
type rotating struct {
	stores []checkpoint.Store
	calls  atomic.Uint64
}

func (r *rotating) next() checkpoint.Store {
	return r.stores[r.calls.Add(1)%uint64(len(r.stores))]
}

func (r *rotating) Load(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	return r.next().Load(ctx, key)
}

func (r *rotating) Claim(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	return r.next().Claim(ctx, key)
}

func (r *rotating) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	return r.next().Save(ctx, key, cp)
}
