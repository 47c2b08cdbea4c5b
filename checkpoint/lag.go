package checkpoint

import (
	"context"

	"github.com/headrace/headrace/backend"
)

// Lag returns how far the checkpoint under key is behind the tail of src. Lag does not claim, and disturbs no consumer:
// use Lag for dashboards and alarms, also while the consumer does not run. A running consumer saves its place only from
// time to time, and its own Consumer.Lag is more exact. Without a checkpoint, Lag counts from the beginning of the stream. Records
// behind the offset of the checkpoint count, even when its Ahead lists them as done.
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
