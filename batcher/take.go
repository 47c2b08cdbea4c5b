package batcher

import (
	"context"
	"runtime"
	"time"
)

// Take returns the next batch that is due, in order, and blocks until a batch is due. After Close, Take returns the batches
// that are left, without linger, and then the same error as Put. When ctx ends first, Take returns the error of ctx and has
// taken nothing.
func (b *Batcher[E, C]) Take(ctx context.Context) (*Batch[E, C], error) {
	var linger *time.Timer
	yielded := false
	for {
		b.mu.Lock()
		if !yielded && b.wantedLocked() {
			// Yield once, to let every goroutine that is ready put first. Otherwise the caller of Take and the goroutine whose
			// element was just stored wake each other in turn, because the scheduler prefers the goroutine that the running
			// goroutine has woken. Measured where batches are released at once: a hundred other goroutines waited up to 60 ms,
			// and nearly every batch held a single element.
			yielded = true
			b.mu.Unlock()
			runtime.Gosched()
			continue
		}
		wait := b.endIfDueLocked()
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

		var elapsed <-chan time.Time // nil, which never fires, without an open batch
		if wait > 0 {
			if linger == nil {
				linger = time.NewTimer(wait)
				defer linger.Stop()
			} else {
				linger.Reset(wait)
			}
			elapsed = linger.C
		}
		// Every case leads to another look at the state, so a wake-up without a reason does no harm.
		select {
		case <-b.wake:
		case <-elapsed:
		case <-ctx.Done():
		}
	}
}

// Park is for a taker who does not want to wait in a goroutine of its own, because there may be nothing to take for hours. When the
// batcher is open and empty, and every batch was released, Park returns true. Then start runs once, in a new goroutine, as soon as
// there is a reason to call Take: an element was put, or Close was called. Before start runs, nobody may call Take. When Park
// returns false, there is a reason to call Take already, or a batch to release, and start never runs.
//
// A parked batcher holds neither its newest batch nor memory for callers who wait.
func (b *Batcher[E, C]) Park(start func()) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.open != nil || b.ended.head != nil || b.outstanding > 0 || b.waiters.live > 0 || b.closed != nil {
		return false
	}
	b.parked, b.newestEnded, b.waiters.free = start, nil, nil
	return true
}

// wantedLocked reports whether the open batch is due because somebody waits for the batch. While another batch is taken and
// not released, a wanted batch still collects elements: callers who wait at the same time then share a batch.
func (b *Batcher[E, C]) wantedLocked() bool {
	return b.open != nil && b.ended.head == nil && b.open.wanted && b.outstanding == 0
}

// endIfDueLocked ends the open batch when the batch is due. Otherwise endIfDueLocked returns how long the open batch may
// still linger, or 0 when no batch is open. While an ended batch waits for Take, the open batch is left alone: Take returns
// the ended batch first, and the open batch may fill meanwhile.
func (b *Batcher[E, C]) endIfDueLocked() time.Duration {
	if b.open == nil || b.ended.head != nil {
		return 0
	}
	switch {
	case b.fullLocked() || b.overdue:
		b.endLocked(CauseFull)
	case b.wantedLocked():
		b.endLocked(CauseWanted)
	default:
		wait := b.linger - time.Since(b.open.First)
		if wait > 0 {
			return wait
		}
		b.endLocked(CauseLinger)
	}
	return 0
}
