package consumer

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/internal/ahead"
	"github.com/headrace/headrace/internal/inhand"
)

// workers run the handlers. Goroutines take tasks that may begin: as many goroutines as there were tasks at once, up to
// Concurrency. A waiting record, for an earlier record of its key or for its next attempt, occupies no goroutine.
type workers[T any] struct {
	loop    *loop[T]
	work    work[T]
	cfg     processConfig
	life    context.Context // of the handlers: outlives the caller's ctx by DrainTimeout
	kill    context.CancelFunc
	stop    context.CancelFunc // ends the dispatch
	running sync.WaitGroup
	rate    *pacer       // nil: no limit
	hold    *inhand.Hold // nil outside a group

	mu      sync.Mutex
	change  sync.Cond // of mu: ready, closed or the low-water mark has changed
	started int       // workers
	busy    int       // of them, how many have taken tasks and have not come back

	ready fifo[task[T]] // may begin
	open  task[T]       // has begun, and workers share its records; zero when all are taken
	// absent is the number behind the record that lowestLocked did not find in ready. 0: look again.
	absent uint64
	lanes  map[string]*lane[T]
	spare  []*lane[T]
	fresh  []*lane[T]             // made by add
	timers map[uint64]*time.Timer // of records that wait for their next attempt, by seq
	gate   gate
	// gaps is how many gaps the batches have that are in hand or wait for their next attempt. mostGaps is the limit of one
	// batch.
	gaps     int
	mostGaps int32
	closed   atomic.Bool // nothing begins any more; set with the lock held
	err      error       // the first failure that ends the loop
}

func startWorkers[T any](ctx context.Context, l *loop[T], do work[T], stop context.CancelFunc) *workers[T] {
	cfg := do.cfg
	w := &workers[T]{loop: l, work: do, cfg: cfg, stop: stop, lanes: map[string]*lane[T]{}, timers: map[uint64]*time.Timer{}}
	w.change.L = &w.mu
	w.gate.track = l.run.track
	w.mostGaps = mostGaps(cfg.concurrency)
	w.life, w.kill = context.WithCancel(context.WithoutCancel(ctx))
	if w.hold = l.hold; w.hold != nil { // in a group, a lease that was lost ends the handlers at once
		kill := w.kill
		unhook := context.AfterFunc(w.hold.Work, kill)
		w.kill = func() { unhook(); kill() }
	}
	if cfg.limited {
		w.rate = &pacer{every: time.Duration(float64(time.Second) / cfg.perSecond)}
	}
	return w
}

// add takes tasks in the order of the stream. keys holds the keys of their records, or nothing if records have no key.
func (w *workers[T]) add(batch []task[T], keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for i := range batch {
		if t := &batch[i]; len(keys) == 0 || t.fault != nil {
			w.ready.push(*t)
			n += 1 + int(t.more)
		} else {
			w.enterLocked(t.entry, keys[i])
		}
	}
	for i, l := range w.fresh {
		w.fresh[i] = nil
		w.ready.push(w.nextLocked(l))
		n++
	}
	w.fresh = w.fresh[:0]
	w.wakeLocked(n)
	w.startLocked()
}

// startLocked starts a worker if all are busy, and if there may be more. A worker that takes a task and leaves others behind
// calls startLocked too. So all tasks find a worker, and a consumer with few records does not hold the goroutines of many
// handlers.
func (w *workers[T]) startLocked() {
	if w.busy == w.started && w.started < w.cfg.concurrency && !w.closed.Load() {
		w.started++
		w.running.Go(w.runToEnd)
	}
}

// wakeLocked wakes as many workers as records were added to ready.
func (w *workers[T]) wakeLocked(n int) {
	w.absent = 0
	if n >= w.cfg.concurrency || w.gate.shut.Load() {
		w.change.Broadcast()
		return
	}
	for range n {
		w.change.Signal()
	}
}

// runToEnd is the goroutine of one worker. When the dead letters call runtime.Goexit, the goroutine ends before its records are done, and
// the loop would wait for them for ever; so the loop ends.
func (w *workers[T]) runToEnd() {
	err := fmt.Errorf("consumer: process: %w", errGoexit) // unless run returns
	defer func() {
		if err != nil {
			w.fail(err)
		}
	}()
	w.run()
	err = nil
}

func (w *workers[T]) run() {
	var (
		mine []task[T]
		one  task[T]
	)
	for {
		clear(mine) // or the slice and one would pin what is done
		one = task[T]{}
		if mine = w.take(mine); len(mine) == 0 {
			return
		}
		for i := range mine {
			t := &mine[i]
			one = *t
			one.first, one.more, one.taken = 0, 0, nil
			for k := t.first; k <= t.more; k = t.next(k) {
				if w.closed.Load() {
					return
				}
				one.entry = t.entry
				one.at += k
				if w.try(&one) && one.lane != nil {
					w.leave(one.lane)
				}
				w.addGaps(-t.gaps)
			}
		}
	}
}

// take waits for tasks that may begin, and returns the tasks in the memory of done, the tasks that the worker took before. When
// nothing begins any more, take returns no task.
func (w *workers[T]) take(done []task[T]) []task[T] {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(done) > 0 {
		w.busy--
	}
	mine := done[:0]
	for !w.closed.Load() {
		if mine = w.takeLocked(mine); len(mine) > 0 {
			w.busy++
			if w.ready.len() > 0 || w.open.taken != nil && w.open.taken.Load() <= w.open.more {
				w.startLocked()
			}
			return mine
		}
		w.change.Wait()
	}
	return mine
}

// takeLocked appends the tasks that may begin now to mine. A single worker takes all, for one use of the lock. With
// several workers each takes one task, and they share a task of several records; otherwise a slow handler would delay records
// while other workers are free.
func (w *workers[T]) takeLocked(mine []task[T]) []task[T] {
	if w.open.taken != nil {
		mine = append(mine, w.open)
		last := &mine[len(mine)-1]
		if last.first = last.next(0); last.first <= last.more {
			return mine
		}
		mine, w.open = mine[:0], task[T]{}
	}
	single := w.cfg.concurrency == 1
	for w.ready.len() > 0 && (single || len(mine) == 0) {
		least := 1 + int(w.ready.waiting()[0].gaps)
		most := least + int(w.ready.waiting()[0].more) // more than one record: without a key, and so without gaps
		// With the largest Concurrency as it is, the sum would overflow.
		n := w.gate.admit(least, most, min(w.cfg.concurrency, ahead.Runs)+len(w.timers)+w.gaps)
		if n == 0 && (len(mine) > 0 || !w.lowestLocked()) {
			break
		}
		t := &w.ready.waiting()[0] // lowestLocked may have put another task there
		n = max(n-int(t.gaps), 1)
		w.gaps += int(t.gaps)
		mine = append(mine, *t)
		last := &mine[len(mine)-1]
		last.more = int32(n) - 1
		if n > 1 && !single {
			last.taken = new(atomic.Int32)
			w.open = *last
			last.first = last.next(0)
		}
		if left := t.more + 1 - int32(n); left > 0 {
			t.at += int32(n)
			t.more = left - 1
			continue
		}
		w.ready.pop(1)
	}
	return mine
}

// addGaps counts the gaps of a batch in hand; with a negative n the batch has left the hand.
func (w *workers[T]) addGaps(n int32) {
	if n == 0 {
		return
	}
	w.mu.Lock()
	w.gaps += int(n)
	w.mu.Unlock()
}

// lowestLocked moves the record at the low-water mark to the head of ready. It reports whether ready has that record.
func (w *workers[T]) lowestLocked() bool {
	low := w.loop.run.track.low.Load()
	if w.absent == low+1 {
		return false
	}
	ready := w.ready.waiting()
	// From the end, because the record that its lane has just let begin is there.
	for i := len(ready) - 1; i >= 0; i-- {
		if ready[i].seq() == low {
			ready[0], ready[i] = ready[i], ready[0]
			return true
		}
	}
	w.absent = low + 1
	return false
}

// fail ends the loop with err. Only the first failure is kept.
func (w *workers[T]) fail(err error) {
	w.mu.Lock()
	if w.err == nil {
		w.err = err
	}
	w.mu.Unlock()
	w.stop()
}

// failure returns the first failure, or nil.
func (w *workers[T]) failure() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// drain stops new attempts and waits up to d for the running handlers. Then it ends their ctx and waits up to d again.
// It reports whether all handlers have returned.
func (w *workers[T]) drain(d time.Duration) bool {
	w.mu.Lock()
	w.closed.Store(true)
	for _, t := range w.timers {
		t.Stop()
	}
	w.change.Broadcast()
	w.mu.Unlock()
	defer w.kill()
	idle := make(chan struct{})
	go func() {
		w.running.Wait()
		close(idle)
	}()
	for range 2 {
		t := time.NewTimer(d)
		select {
		case <-idle:
			t.Stop()
			return true
		case <-t.C:
			w.kill()
		}
	}
	return false
}
