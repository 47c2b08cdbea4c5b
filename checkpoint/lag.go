package checkpoint

import (
	"context"

	"github.com/headrace/headrace/backend"
)

// Lag returns how far the checkpoint under key is behind the tail of src. It does not claim, so it disturbs no consumer:
// it is for dashboards and alarms, also while the consumer does not run. A consumer that runs saves its place from time
// to time, and knows better by itself how far it is (Consumer.Lag). Without a checkpoint all of the stream is behind.
//
// Records that are done already behind the place count.
func Lag(ctx context.Context, s Store, key string, src backend.Source) (backend.Lag, error) {
	cp, err := s.Load(ctx, key)
	if err != nil {
		return backend.Lag{}, err
	}
	if cp.Offset == "" {
		cp.Offset = backend.Earliest
	}
	l, err := backend.LagAt(ctx, src, cp.Offset)
	if err != nil {
		return backend.Lag{}, failed("lag of", key, err)
	}
	return l, nil
}
