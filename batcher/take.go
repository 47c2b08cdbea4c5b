package batcher

import (
	"context"
	"time"
)

// Take returns the next batch that is due, in order, and blocks until there is one. After Close it returns what is left
// and then the error that Put returns. When ctx ends first it returns ctx's error and has taken nothing.
func (b *Batcher[E, C]) Take(ctx context.Context) (*Batch[E, C], error) {
	var linger *time.Timer
	for {
		b.mu.Lock()
		wait := b.due()
		if batch := b.ended.pop(); batch != nil {
			b.outstanding++
			b.mu.Unlock()
			return batch, nil
		}
		err := b.closed
		b.mu.Unlock()
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}

		var elapsed <-chan time.Time
		if wait > 0 {
			if linger == nil {
				linger = time.NewTimer(wait)
				defer linger.Stop()
			} else {
				linger.Reset(wait)
			}
			elapsed = linger.C
		}
		select {
		case <-b.wake:
		case <-elapsed:
		case <-ctx.Done():
		}
	}
}

// due ends the open batch when it is due, or else returns how long it may still linger, 0 without one.
func (b *Batcher[E, C]) due() time.Duration {
	if b.open == nil || b.ended.head != nil {
		return 0
	}
	switch {
	case b.full() || b.hurry:
		b.end(CauseFull)
	case b.open.wanted && b.outstanding == 0:
		b.end(CauseWanted)
	default:
		wait := b.linger - time.Since(b.open.First)
		if wait > 0 {
			return wait
		}
		b.end(CauseLinger)
	}
	return 0
}
