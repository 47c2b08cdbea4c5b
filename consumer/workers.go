package consumer

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// A task is a record on its way through the handlers.
type task[T any] struct {
	m        Message[T]
	key      string
	lane     *lane[T] // nil: the record has no key
	attempts int      // that failed
	fault    error    // why the record is given up without an attempt
}

// A lane holds the records of one key that wait for the record before them. A lane exists while a record of its key is
// being handled or waits for another attempt.
type lane[T any] struct{ waiting []task[T] }

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

	mu     sync.Mutex
	work   sync.Cond // of mu: ready or closed has changed
	ready  []task[T] // may begin, the next at head
	head   int
	lanes  map[string]*lane[T]
	spare  []*lane[T]
	timers map[uint64]*time.Timer // of records that wait for their next attempt, by seq
	closed atomic.Bool            // nothing begins any more; set with the lock held
	err    error                  // the first failure that ends the loop
}

func startWorkers[T any](ctx context.Context, l *loop[T], h Handler[T], cfg processConfig, stop context.CancelFunc) *workers[T] {
	w := &workers[T]{loop: l, handle: h, cfg: cfg, stop: stop, lanes: map[string]*lane[T]{}, timers: map[uint64]*time.Timer{}}
	w.work.L = &w.mu
	w.life, w.kill = context.WithCancel(context.WithoutCancel(ctx))
	if cfg.limited {
		w.rate = &pacer{every: time.Duration(float64(time.Second) / cfg.perSecond)}
	}
	for range cfg.concurrency {
		w.running.Go(w.run)
	}
	return w
}

// add takes records in the order of the stream.
func (w *workers[T]) add(batch []task[T], keyed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for _, t := range batch {
		if keyed && t.fault == nil && !w.enterLocked(&t) {
			continue
		}
		w.ready = append(w.ready, t)
		n++
	}
	w.wakeLocked(n)
}

// wakeLocked wakes as many workers as there are new tasks.
func (w *workers[T]) wakeLocked(n int) {
	if n >= w.cfg.concurrency {
		w.work.Broadcast()
		return
	}
	for range n {
		w.work.Signal()
	}
}

// enterLocked reports whether a record with a key may begin now. Otherwise the record waits in the lane of its key.
func (w *workers[T]) enterLocked(t *task[T]) bool {
	if l := w.lanes[t.key]; l != nil {
		t.lane = l
		l.waiting = append(l.waiting, *t)
		return false
	}
	if n := len(w.spare); n > 0 {
		t.lane, w.spare = w.spare[n-1], w.spare[:n-1]
	} else {
		t.lane = new(lane[T])
	}
	w.lanes[t.key] = t.lane
	return true
}

// leaveLocked lets the next record of the lane begin.
func (w *workers[T]) leaveLocked(t *task[T]) {
	l := t.lane
	if len(l.waiting) == 0 {
		delete(w.lanes, t.key)
		w.spare = append(w.spare, l)
		return
	}
	w.ready = append(w.ready, l.waiting[0])
	n := copy(l.waiting, l.waiting[1:])
	l.waiting[n] = task[T]{}
	l.waiting = l.waiting[:n]
	w.work.Signal()
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
				w.mu.Lock()
				w.leaveLocked(t)
				w.mu.Unlock()
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
	for w.head == len(w.ready) && !w.closed.Load() {
		w.work.Wait()
	}
	if w.closed.Load() {
		return mine
	}
	n := 1
	if w.cfg.concurrency == 1 {
		n = len(w.ready) - w.head
	}
	mine = append(mine, w.ready[w.head:w.head+n]...)
	clear(w.ready[w.head : w.head+n])
	if w.head += n; w.head == len(w.ready) {
		w.ready, w.head = w.ready[:0], 0
	}
	return mine
}

// try makes one attempt at a record. It reports whether the record is done or given up, so that the next record of its
// key may begin.
func (w *workers[T]) try(t *task[T]) bool {
	err := t.fault
	if err == nil {
		if w.rate != nil && !w.rate.wait(w.life) {
			return false
		}
		err = w.attempt(t.m, t.attempts+1)
	}
	if err == nil {
		w.finish(t)
		return true
	}
	if w.life.Err() != nil { // the shutdown ended it: neither a failure nor an attempt
		return false
	}
	t.attempts++
	if t.attempts > w.cfg.retries || isPermanent(err) {
		return w.giveUp(t, err)
	}
	w.again(t, err)
	return false
}

// finish marks the record done, and wakes the loop if the loop waits for the record.
func (w *workers[T]) finish(t *task[T]) {
	w.loop.run.track.markDone(t.m.seq)
	w.loop.run.lowMoved()
}

// attempt runs the handler once.
func (w *workers[T]) attempt(m Message[T], number int) error {
	d := w.cfg.attemptTimeout
	if d == 0 {
		return w.guarded(w.life, m)
	}
	ctx, cancel := context.WithTimeout(w.life, d)
	defer cancel()
	at := m.Offset
	overdue := time.AfterFunc(2*d, func() {
		w.loop.c.cfg.logger.WarnContext(w.life, "consumer: process: a handler goes on although its ctx has ended",
			"offset", at, "attempt", number, "timeout", d)
	})
	defer overdue.Stop()
	return w.guarded(ctx, m)
}

// guarded runs the handler and returns a panic as an error.
func (w *workers[T]) guarded(ctx context.Context, m Message[T]) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &PanicError{p, debug.Stack()}
		}
	}()
	return w.handle(ctx, m)
}

// again lets the record begin once more after a pause. During the pause the record occupies no worker, and it keeps its
// lane.
func (w *workers[T]) again(t *task[T], err error) {
	pause := w.cfg.backoff.Delay(t.attempts, err)
	w.loop.c.cfg.logger.WarnContext(w.life, "consumer: process: a record failed and is tried again",
		"offset", t.m.Offset, "attempt", t.attempts, "in", pause, "err", err)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed.Load() {
		return
	}
	w.timers[t.m.seq] = w.delayedLocked(*t, pause)
}

// delayedLocked makes a task ready after a pause.
func (w *workers[T]) delayedLocked(next task[T], pause time.Duration) *time.Timer {
	return time.AfterFunc(pause, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.timers, next.m.seq)
		if !w.closed.Load() {
			w.ready = append(w.ready, next)
			w.work.Signal()
		}
	})
}

// giveUp makes the record a dead letter. Without DeadLetters it ends the loop.
func (w *workers[T]) giveUp(t *task[T], err error) bool {
	c := &w.loop.c.cfg
	if !c.hasLetters {
		w.fail(&ProcessError{Record: t.m.Record, Attempts: t.attempts, Err: err})
		return false
	}
	c.logger.WarnContext(w.life, "consumer: process: a record is given up and becomes a dead letter",
		"offset", t.m.Offset, "attempts", t.attempts, "err", err)
	letter := DeadLetter{
		Value: t.m.Record.Value, Headers: t.m.Headers, Offset: t.m.Offset, Time: t.m.Time, Consumer: c.key,
		Attempts: t.attempts, Cause: err.Error(),
	}
	if err := c.letters.Send(w.life, letter); err != nil {
		if w.life.Err() == nil {
			w.fail(fmt.Errorf("consumer: process: dead letter for the record at %q: %w", t.m.Offset, err))
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

// A pacer spreads the beginnings of attempts evenly.
type pacer struct {
	every time.Duration

	mu   sync.Mutex
	next time.Time
}

// wait returns true when it is the caller's turn, and false if ctx ends first.
func (p *pacer) wait(ctx context.Context) bool {
	p.mu.Lock()
	now := time.Now()
	turn := p.next
	if turn.Before(now) {
		turn = now
	}
	p.next = turn.Add(p.every)
	p.mu.Unlock()
	if !turn.After(now) {
		return ctx.Err() == nil
	}
	t := time.NewTimer(turn.Sub(now))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
