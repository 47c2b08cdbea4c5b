package consumer

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
)

// A Lag is how far a consumer is behind the tail of its stream.
type Lag = backend.Lag

// Lag asks the store of the stream how far the consumer is behind the tail, counted from the low-water mark: the oldest
// unfinished record. Done records behind the mark count, too. Where the source is no [backend.Tailer], only Age and CaughtUp are
// known, and Records and Bytes are -1 unless CaughtUp is true. Before the first loop, Lag counts from the checkpoint or from
// [StartAt].
//
// Lag costs the store a request or two, and does not retry; [Stats].Lag costs nothing and knows only the records in
// memory. For a consumer that runs elsewhere, or not at all, there is [checkpoint.Lag].
func (c *Consumer[T]) Lag(ctx context.Context) (Lag, error) {
	at := c.cfg.startAt
	r := c.latest()
	if r != nil {
		at, _ = r.track.position()
	} else if c.cfg.hasStore {
		cp, err := c.cfg.store.Load(ctx, c.cfg.key)
		if err != nil {
			return Lag{}, fmt.Errorf("consumer: lag: %w", err)
		}
		if cp.Offset != "" {
			at = cp.Offset
		}
	}
	l, err := backend.LagAt(ctx, c.src, at)
	if err != nil {
		return Lag{}, fmt.Errorf("consumer: lag behind %q: %w", at, err)
	}
	return l, nil
}

// Reset makes the consumers of key go on at the place at: to process records again, or to leave some out. at may be a
// start, such as [backend.Earliest] or [backend.AtTime]; the next loop resolves it. Reset claims key: a running consumer
// ends with [backend.ErrFenced] at its next save, and a restarted consumer begins at the new place. Reset forgets the
// list of done records behind the old place.
func Reset(ctx context.Context, s checkpoint.Store, key string, at backend.Offset) error {
	if err := checkpoint.CheckSave(key, checkpoint.Checkpoint{Offset: at, Epoch: 1}); err != nil {
		return fmt.Errorf("consumer: reset: %w", err) // before the claim fences anybody
	}
	cp, err := s.Claim(ctx, key)
	if err == nil {
		err = s.Save(ctx, key, checkpoint.Checkpoint{Offset: at, Epoch: cp.Epoch})
	}
	if err != nil {
		return fmt.Errorf("consumer: reset: %w", err)
	}
	return nil
}
