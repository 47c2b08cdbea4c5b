package consumer

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
)

// An entry is a record on its way through the handlers: the record at index at of ch.
type entry[T any] struct {
	ch       *chunk[T]
	at       int32
	attempts int32 // that failed
}

func (e *entry[T]) seq() uint64             { return e.ch.first + uint64(e.at) }
func (e *entry[T]) record() *backend.Record { return &e.ch.recs[e.at] }

// A task is what a handler is called with.
type task[T any] struct {
	entry[T]
	lane  *lane[T] // nil: the record has no key
	fault error    // why the record is given up without an attempt
}

// A lane holds the records of one key that wait for the record before them. A lane exists while a record of its key is
// being handled or waits for another attempt.
type lane[T any] struct {
	key     string
	waiting []entry[T]
}

// workers run the handlers. A fixed number of goroutines takes tasks that may begin. A record that must wait, for the
// record before it or for its next attempt, occupies no goroutine.
type workers[T any] struct {
	loop    *loop[T]
	handle  Handler[T]
	cfg     processConfig
	life    context.Context // of the handlers: outlives the caller's ctx by DrainTimeout
	kill    context.CancelFunc
	stop    context.CancelFunc // ends the dispatch
	running sync.WaitGroup
	rate    *pacer // nil: no limit

	mu    sync.Mutex
	work  sync.Cond // of mu: ready, closed or the low-water mark has changed
	ready []task[T] // may begin, the next at head
	head  int
	// absent is the number behind the record that lowestLocked did not find in ready. 0: look again.
	absent uint64
	lanes  map[string]*lane[T]
	spare  []*lane[T]
	timers map[uint64]*time.Timer // of records that wait for their next attempt, by seq
	gate   gate
	closed atomic.Bool // nothing begins any more; set with the lock held
	err    error       // the first failure that ends the loop
}

func startWorkers[T any](ctx context.Context, l *loop[T], h Handler[T], cfg processConfig, stop context.CancelFunc) *workers[T] {
	w := &workers[T]{loop: l, handle: h, cfg: cfg, stop: stop, lanes: map[string]*lane[T]{}, timers: map[uint64]*time.Timer{}}
	w.work.L = &w.mu
	w.gate.track = l.run.track
	w.life, w.kill = context.WithCancel(context.WithoutCancel(ctx))
	if cfg.limited {
		w.rate = &pacer{every: time.Duration(float64(time.Second) / cfg.perSecond)}
	}
	for range cfg.concurrency {
		w.running.Go(w.run)
	}
	return w
}

// add takes records in the order of the stream. keys holds their keys, or nothing if records have no key.
func (w *workers[T]) add(batch []task[T], keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for i := range batch {
		t := &batch[i]
		if len(keys) > 0 && t.fault == nil && !w.enterLocked(t, keys[i]) {
			continue
		}
		w.ready = append(w.ready, *t)
		n++
	}
	w.wakeLocked(n)
}

// wakeLocked wakes as many workers as tasks were added to ready.
func (w *workers[T]) wakeLocked(n int) {
	w.absent = 0
	if n >= w.cfg.concurrency || w.gate.shut.Load() {
		w.work.Broadcast()
		return
	}
	for range n {
		w.work.Signal()
	}
}

// enterLocked reports whether a record with a key may begin now. Otherwise the record waits in the lane of its key.
func (w *workers[T]) enterLocked(t *task[T], key string) bool {
	if l := w.lanes[key]; l != nil {
		l.waiting = append(l.waiting, t.entry)
		return false
	}
	if n := len(w.spare); n > 0 {
		t.lane, w.spare = w.spare[n-1], w.spare[:n-1]
	} else {
		t.lane = new(lane[T])
	}
	t.lane.key = key
	w.lanes[key] = t.lane
	return true
}

// leave lets the next record of the lane begin.
func (w *workers[T]) leave(l *lane[T]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(l.waiting) == 0 {
		delete(w.lanes, l.key)
		w.spare = append(w.spare, l)
		return
	}
	w.ready = append(w.ready, task[T]{entry: l.waiting[0], lane: l})
	n := copy(l.waiting, l.waiting[1:])
	l.waiting[n] = entry[T]{}
	l.waiting = l.waiting[:n]
	w.wakeLocked(1)
}

// run is the goroutine of one worker.
func (w *workers[T]) run() {
	var mine []task[T]
	for {
		clear(mine) // or the slice would pin what is done
		if mine = w.take(mine[:0]); len(mine) == 0 {
			return
		}
		for i := range mine {
			t := &mine[i]
			if w.closed.Load() {
				return
			}
			if w.try(t) && t.lane != nil {
				w.leave(t.lane)
			}
		}
	}
}

// take waits for tasks that may begin and appends them to mine. A single worker takes all tasks, which costs one use of
// the lock. With several workers each takes one task; otherwise a slow handler would delay records that another worker
// could begin.
func (w *workers[T]) take(mine []task[T]) []task[T] {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed.Load() {
		n := min(1, len(w.ready)-w.head)
		if w.cfg.concurrency == 1 {
			n = len(w.ready) - w.head
		}
		if n > 0 {
			n = w.gate.admit(n, w.cfg.concurrency+len(w.timers))
			if n == 0 && w.lowestLocked() {
				n = 1
			}
		}
		if n > 0 {
			mine = append(mine, w.ready[w.head:w.head+n]...)
			clear(w.ready[w.head : w.head+n])
			if w.head += n; w.head == len(w.ready) {
				w.ready, w.head = w.ready[:0], 0
			}
			return mine
		}
		w.work.Wait()
	}
	return mine
}

// lowestLocked moves the record at the low-water mark to the head of ready. It reports whether ready has that record.
func (w *workers[T]) lowestLocked() bool {
	low := w.loop.run.track.low.Load()
	if w.absent == low+1 {
		return false
	}
	if w.ready[w.head].seq() == low {
		return true
	}
	// From the end, because the record that its lane has just let begin is there.
	for i := len(w.ready) - 1; i > w.head; i-- {
		if w.ready[i].seq() == low {
			w.ready[w.head], w.ready[i] = w.ready[i], w.ready[w.head]
			return true
		}
	}
	w.absent = low + 1
	return false
}

// try makes one attempt at a record. It reports whether the record is done or given up, so that the next record of its
// key may begin.
func (w *workers[T]) try(t *task[T]) bool {
	err := t.fault
	if err == nil {
		if w.rate != nil && !w.rate.wait(w.life) {
			return false
		}
		err = w.attempt(t)
	}
	if err == nil {
		w.finish(t)
		return true
	}
	if w.life.Err() != nil { // the shutdown ended it: neither a failure nor an attempt
		return false
	}
	t.attempts++
	if int(t.attempts) > w.cfg.retries || isPermanent(err) {
		return w.giveUp(t, err)
	}
	w.again(t, err)
	return false
}

// finish marks the record done, wakes the loop if the loop waits for the record, and wakes workers that wait until the
// low-water mark moves.
func (w *workers[T]) finish(t *task[T]) {
	w.loop.run.track.markDone(t.seq())
	w.loop.run.lowMoved()
	if w.loop.run.saveDue() {
		// Let the loop save now. Handlers that only compute would keep it off the processors for many milliseconds, and
		// all that they finish until the save would run again after a kill.
		runtime.Gosched()
	}
	if w.gate.shut.Load() {
		w.mu.Lock()
		w.work.Broadcast()
		w.mu.Unlock()
	}
}

// attempt runs the handler once.
func (w *workers[T]) attempt(t *task[T]) error {
	d := w.cfg.attemptTimeout
	if d == 0 {
		return w.guarded(w.life, t)
	}
	ctx, cancel := context.WithTimeout(w.life, d)
	defer cancel()
	at, number := t.record().Offset, t.attempts+1
	overdue := time.AfterFunc(2*d, func() {
		w.loop.c.cfg.logger.WarnContext(w.life, "consumer: process: a handler goes on although its ctx has ended",
			"offset", at, "attempt", number, "timeout", d)
	})
	defer overdue.Stop()
	return w.guarded(ctx, t)
}

// guarded runs the handler and returns a panic as an error.
func (w *workers[T]) guarded(ctx context.Context, t *task[T]) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	return w.handle(ctx, Message[T]{Record: *t.record(), Value: t.ch.values[t.at], run: w.loop.run, seq: t.seq()})
}

// again lets the record begin once more after a pause. During the pause the record occupies no worker, and it keeps its
// lane.
func (w *workers[T]) again(t *task[T], err error) {
	pause := w.cfg.backoff.Delay(int(t.attempts), err)
	w.loop.c.cfg.logger.WarnContext(w.life, "consumer: process: a record failed and is tried again",
		"offset", t.record().Offset, "attempt", t.attempts, "in", pause, "err", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.Load() {
		return
	}
	w.timers[t.seq()] = w.delayedLocked(*t, pause)
}

// delayedLocked makes a task ready after a pause.
func (w *workers[T]) delayedLocked(next task[T], pause time.Duration) *time.Timer {
	return time.AfterFunc(pause, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.timers, next.seq())
		if !w.closed.Load() {
			w.ready = append(w.ready, next)
			w.wakeLocked(1)
		}
	})
}

// giveUp makes the record a dead letter. Without DeadLetters it ends the loop.
func (w *workers[T]) giveUp(t *task[T], err error) bool {
	c, r := &w.loop.c.cfg, t.record()
	if !c.hasLetters {
		w.fail(&ProcessError{Record: *r, Attempts: int(t.attempts), Err: err})
		return false
	}
	c.logger.WarnContext(w.life, "consumer: process: a record is given up and becomes a dead letter",
		"offset", r.Offset, "attempts", t.attempts, "err", err)
	letter := DeadLetter{
		Value: r.Value, Headers: r.Headers, Offset: r.Offset, Time: r.Time, Consumer: c.key,
		Attempts: int(t.attempts), Cause: err.Error(),
	}
	if err := c.letters.Send(w.life, letter); err != nil {
		if w.life.Err() == nil {
			w.fail(fmt.Errorf("consumer: process: dead letter for the record at %q: %w", r.Offset, err))
		}
		return false
	}
	w.loop.c.counters.letters.Add(1)
	w.finish(t)
	return true
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
	w.work.Broadcast()
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
