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
	"github.com/headrace/headrace/internal/inhand"
)

// An entry is a record on its way through the handlers: the record at index at of ch.
type entry[T any] struct {
	ch       *chunk[T]
	at       int32
	attempts int32 // that failed
	alone    bool  // after its batch has failed: in no batch with others
}

func (e *entry[T]) seq() uint64             { return e.ch.first + uint64(e.at) }
func (e *entry[T]) record() *backend.Record { return &e.ch.recs[e.at] }

func (e *entry[T]) message(r *run) Message[T] {
	return Message[T]{Record: *e.record(), Value: e.ch.values[e.at], run: r, seq: e.seq()}
}

// A task is what a handler is called with: a record or, in ProcessBatches, several records.
type task[T any] struct {
	entry[T]
	// more is how many records directly behind entry are tasks of their own, too: of records without a key, one task
	// stands for all of a chunk. It costs a copy a chunk, where a copy a record would be most of what Process costs.
	more  int32
	rest  []entry[T] // of a batch, in the order of the stream
	lane  *lane[T]   // nil: the record has no key
	fault error      // why the record is given up without an attempt
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
	work    work[T]
	cfg     processConfig
	life    context.Context // of the handlers: outlives the caller's ctx by DrainTimeout
	kill    context.CancelFunc
	stop    context.CancelFunc // ends the dispatch
	running sync.WaitGroup
	rate    *pacer // nil: no limit

	mu     sync.Mutex
	change sync.Cond // of mu: ready, closed or the low-water mark has changed
	ready  []task[T] // may begin, the next at head
	head   int
	// absent is the number behind the record that lowestLocked did not find in ready. 0: look again.
	absent uint64
	lanes  map[string]*lane[T]
	spare  []*lane[T]
	fresh  []*lane[T]             // made by add
	timers map[uint64]*time.Timer // of records that wait for their next attempt, by seq
	gate   gate
	closed atomic.Bool // nothing begins any more; set with the lock held
	err    error       // the first failure that ends the loop
}

func startWorkers[T any](ctx context.Context, l *loop[T], do work[T], stop context.CancelFunc) *workers[T] {
	cfg := do.cfg
	w := &workers[T]{loop: l, work: do, cfg: cfg, stop: stop, lanes: map[string]*lane[T]{}, timers: map[uint64]*time.Timer{}}
	w.change.L = &w.mu
	w.gate.track = l.run.track
	w.life, w.kill = context.WithCancel(context.WithoutCancel(ctx))
	if work := inhand.From(ctx); work != nil { // in a group, a lease that was lost ends the handlers at once
		kill := w.kill
		unhook := context.AfterFunc(work, kill)
		w.kill = func() { unhook(); kill() }
	}
	if cfg.limited {
		w.rate = &pacer{every: time.Duration(float64(time.Second) / cfg.perSecond)}
	}
	for range cfg.concurrency {
		w.running.Go(w.run)
	}
	return w
}

// add takes tasks in the order of the stream. keys holds the keys of their records, or nothing if records have no key.
func (w *workers[T]) add(batch []task[T], keys []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Under a steady load ready is never empty. Without this it would grow for ever, with what was taken at its front.
	if w.head > len(w.ready)/2 {
		left := copy(w.ready, w.ready[w.head:])
		clear(w.ready[left:])
		w.ready, w.head = w.ready[:left], 0
	}
	n := 0
	for i := range batch {
		if t := &batch[i]; len(keys) == 0 || t.fault != nil {
			w.ready = append(w.ready, *t)
			n += 1 + int(t.more)
		} else {
			w.enterLocked(t.entry, keys[i])
		}
	}
	for i, l := range w.fresh {
		w.fresh[i] = nil
		w.ready = append(w.ready, w.nextLocked(l))
		n++
	}
	w.fresh = w.fresh[:0]
	w.wakeLocked(n)
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

// enterLocked puts a record into the lane of its key.
func (w *workers[T]) enterLocked(e entry[T], key string) {
	l := w.lanes[key]
	if l == nil {
		if n := len(w.spare); n > 0 {
			l, w.spare = w.spare[n-1], w.spare[:n-1]
		} else {
			l = new(lane[T])
		}
		l.key = key
		w.lanes[key] = l
		w.fresh = append(w.fresh, l)
	}
	l.waiting = append(l.waiting, e)
}

// nextLocked takes the next task of a lane in which records wait.
func (w *workers[T]) nextLocked(l *lane[T]) task[T] {
	t, n := task[T]{entry: l.waiting[0], lane: l}, 1
	if w.work.batch != nil && !t.alone {
		for most := w.loop.c.cfg.batchRecords; n < len(l.waiting) && n < most && !l.waiting[n].alone; n++ {
			t.rest = append(t.rest, l.waiting[n])
		}
	}
	left := copy(l.waiting, l.waiting[n:])
	clear(l.waiting[left:])
	l.waiting = l.waiting[:left]
	return t
}

// leave lets the next task of the lane begin.
func (w *workers[T]) leave(l *lane[T]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(l.waiting) == 0 {
		delete(w.lanes, l.key)
		w.spare = append(w.spare, l)
		return
	}
	w.ready = append(w.ready, w.nextLocked(l))
	w.wakeLocked(1)
}

// run is the goroutine of one worker.
func (w *workers[T]) run() {
	var (
		mine []task[T]
		one  task[T]
	)
	for {
		clear(mine) // or the slice would pin what is done
		if mine = w.take(mine[:0]); len(mine) == 0 {
			return
		}
		for i := range mine {
			for k := range mine[i].more + 1 {
				if w.closed.Load() {
					return
				}
				one = mine[i]
				one.at += k
				one.more = 0
				if w.try(&one) && one.lane != nil {
					w.leave(one.lane)
				}
			}
		}
	}
}

// take waits for tasks that may begin and appends them to mine. It returns none when nothing begins any more.
func (w *workers[T]) take(mine []task[T]) []task[T] {
	w.mu.Lock()
	defer w.mu.Unlock()
	for !w.closed.Load() {
		if mine = w.takeLocked(mine); len(mine) > 0 {
			return mine
		}
		w.change.Wait()
	}
	return mine
}

// takeLocked appends to mine what may begin now. A single worker takes everything, which costs one use of the lock. With
// several workers each takes one record; otherwise a slow handler would delay records that another worker could begin.
func (w *workers[T]) takeLocked(mine []task[T]) []task[T] {
	single := w.cfg.concurrency == 1
	for w.head < len(w.ready) && (single || len(mine) == 0) {
		n := 1
		if single {
			n += int(w.ready[w.head].more)
		}
		n = w.gate.admit(n, w.cfg.concurrency+len(w.timers))
		if n == 0 && len(mine) == 0 && w.lowestLocked() {
			n = 1
		}
		if n == 0 {
			break
		}
		t := &w.ready[w.head]
		mine = append(mine, *t)
		mine[len(mine)-1].more = int32(n) - 1
		if left := t.more + 1 - int32(n); left > 0 {
			t.at += int32(n)
			t.more = left - 1
			continue
		}
		*t = task[T]{}
		if w.head++; w.head == len(w.ready) {
			w.ready, w.head = w.ready[:0], 0
		}
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
	if w.work.batch != nil && t.fault == nil {
		err = w.settle(t, err)
	}
	return w.failed(t, err)
}

// failed deals with a failed attempt, and reports whether the record is given up.
func (w *workers[T]) failed(t *task[T], err error) bool {
	if w.life.Err() != nil { // the shutdown ended it: neither a failure nor an attempt
		return false
	}
	t.attempts++
	switch {
	case isPermanent(err) || int(t.attempts) > w.cfg.retries && len(t.rest) == 0:
		return w.giveUp(t, err)
	case int(t.attempts) > w.cfg.retries:
		w.split(t)
	default:
		w.again(t, err)
	}
	return false
}

// finish marks the records done, wakes the loop if the loop waits for them, and wakes workers that wait until the
// low-water mark moves.
func (w *workers[T]) finish(t *task[T]) {
	w.loop.run.track.markDone(t.seq())
	for i := range t.rest {
		w.loop.run.track.markDone(t.rest[i].seq())
	}
	w.loop.run.lowMoved()
	if w.loop.run.saveDue() {
		// Let the loop save now. Handlers that only compute would keep it off the processors for many milliseconds, and
		// all that they finish until the save would run again after a kill.
		runtime.Gosched()
	}
	if w.gate.shut.Load() {
		w.mu.Lock()
		w.change.Broadcast()
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
	if w.work.batch != nil {
		return w.work.batch(ctx, w.messages(t))
	}
	return w.work.handle(ctx, t.message(w.loop.run))
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

// giveUp makes the records dead letters. Without DeadLetters it ends the loop.
func (w *workers[T]) giveUp(t *task[T], err error) bool {
	c, first := &w.loop.c.cfg, t.record()
	if !c.hasLetters {
		w.fail(&ProcessError{Record: *first, Attempts: int(t.attempts), Err: err})
		return false
	}
	c.logger.WarnContext(w.life, "consumer: process: a record is given up and becomes a dead letter",
		"offset", first.Offset, "attempts", t.attempts, "err", err)
	letters := []DeadLetter{w.letter(first, t.attempts, err)}
	for i := range t.rest {
		letters = append(letters, w.letter(t.rest[i].record(), t.attempts, err))
	}
	if err := c.letters.Send(w.life, letters...); err != nil {
		if w.life.Err() == nil {
			w.fail(fmt.Errorf("consumer: process: dead letter for the record at %q: %w", first.Offset, err))
		}
		return false
	}
	w.loop.c.counters.letters.Add(uint64(len(letters)))
	w.finish(t)
	return true
}

func (w *workers[T]) letter(r *backend.Record, attempts int32, err error) DeadLetter {
	return DeadLetter{
		Value: r.Value, Headers: r.Headers, Offset: r.Offset, Time: r.Time, Consumer: w.loop.c.cfg.key,
		Attempts: int(attempts), Cause: err.Error(),
	}
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
