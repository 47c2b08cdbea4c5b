package batcher

import (
	"context"
	"runtime"
	"time"
)

// Take returns the next batch that is due, in order, and blocks until there is one. After Close it returns what is left
// and then the error that Put returns. When ctx ends first it returns ctx's error and has taken nothing.
func (b *Batcher[E, C]) Take(ctx context.Context) (*Batch[E, C], error) {
	var linger *time.Timer
	yielded := false
	for {
		b.mu.Lock()
		if !yielded && b.wanted() {
			// Let all goroutines that are ready put first. The caller of Take and the one goroutine that it serves wake each
			// other, and the scheduler prefers whom the running goroutine has woken: where batches are released at once, a
			// hundred others waited for up to 60 ms, and nearly every batch held one element.
			yielded = true
			b.mu.Unlock()
			runtime.Gosched()
			continue
		}
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

// wanted reports whether the open batch is due because somebody waits for it.
func (b *Batcher[E, C]) wanted() bool {
	return b.open != nil && b.ended.head == nil && b.open.wanted && b.outstanding == 0
}

// due ends the open batch when it is due, or else returns how long it may still linger, 0 without one.
func (b *Batcher[E, C]) due() time.Duration {
	if b.open == nil || b.ended.head != nil {
		return 0
	}
	switch {
	case b.full() || b.hurry:
		b.end(CauseFull)
	case b.wanted():
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
