package consumer

import (
	"context"
	"math"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/internal/ahead"
)

// A mode says how the records of a loop become done.
type mode int

const (
	inOrder mode = iota // a record is done when the body of the loop asks for the next record
	byAck               // Message.Ack marks each record by itself
	piped               // a record is done when its receipt is durable
	handled             // a record is done when its handler has succeeded or its dead letter is durable
)

// A run is the part of a loop that remains after the end of the loop: which records are done, and the epoch under which
// their place may be saved. Messages point at their run, because an Ack may come after the end of the loop. The consumer
// keeps a run until the next loop begins. A run does not depend on the type parameter T.
//
// The loop, the timer of CheckpointEvery, Ack in any goroutine, and Commit use a run at the same time: all fields that
// change are atomic, channels, or guarded by the token saving.
type run struct {
	mode    mode
	resumed bool // the loop began with records that an earlier loop had finished out of order
	track   *tracker
	// Message.Checkpoint has given out the places of records with a number below givenOut. The loop's body may have
	// stored such a place in a transaction of its own.
	givenOut atomic.Uint64
	saveAt   atomic.Uint64 // a save is due when all records with a smaller number are done (CheckpointEvery)
	endAt    atomic.Uint64 // at its end the loop waits until all records with a smaller number are done
	tick     atomic.Bool   // the interval of CheckpointEvery is over, so a save is due
	wake     chan struct{} // holds one token: the loop must look at saveAt, endAt, tick and the budget again

	store    checkpoint.Store // nil without Checkpoint
	key      string
	epoch    uint64 // of the claim that began this loop
	every    uint64 // records between two saves; 0 means no bound
	retry    retrier
	hooks    hooks
	counters *counters

	readBefore uint64 // what counters.read was when the loop began

	// saving holds a token while a save is under way, so that saves take turns. We use a channel instead of a mutex
	// because a save lasts as long as the store needs, and a caller must be able to stop waiting when its ctx is over.
	saving chan struct{}         // nil without Checkpoint
	saved  checkpoint.Checkpoint // what the store holds; only the holder of the token saving may use it
}

// newRun returns the run of a loop that begins at from. The records in done, counted from there, are done already.
func newRun(cfg *config, m mode, n *counters, from backend.Offset, done []ahead.Run) *run {
	r := &run{
		mode: m, resumed: len(done) > 0, wake: make(chan struct{}, 1),
		store: cfg.store, key: cfg.key, every: uint64(max(cfg.every, 0)),
		retry: retrier{cfg.retry, cfg.logger}, hooks: cfg.hooks, counters: n,
		readBefore: n.read.Load(),
	}
	if cfg.hasStore {
		r.saving = make(chan struct{}, 1)
	}
	r.track = newTracker(from, done, newBudget(cfg.bufferBytes, r.nudge))
	r.endAt.Store(math.MaxUint64)
	r.rearm(0)
	return r
}

// rearm makes the next save due when r.every more records are done than done.
func (r *run) rearm(done uint64) {
	if r.store == nil || r.every == 0 {
		r.saveAt.Store(math.MaxUint64)
		return
	}
	r.saveAt.Store(done + r.every)
}

// outOfOrder reports whether records of the loop finish in any order.
func (r *run) outOfOrder() bool { return r.mode == byAck || r.mode == handled }

// done returns how many records of the loop are done, in any order.
func (r *run) done() uint64 {
	n := r.track.low.Load()
	if r.outOfOrder() {
		n += r.track.above.Load()
	}
	return n
}

// ack does the work of Message.Ack.
func (r *run) ack(seq uint64) {
	switch r.mode {
	case inOrder:
		r.track.raiseDoneBelow(seq + 1)
	case byAck:
		r.track.markDone(seq)
		r.lowMoved()
	// The body of a Pipe hands a record on, and only the receipt says when the record is durable. A handler says with
	// its result whether the record is done. So Ack changes nothing.
	case piped, handled:
	}
}

// lowMoved wakes the loop when the records that are done have reached a number that the loop waits for.
func (r *run) lowMoved() {
	if r.done() >= r.saveAt.Load() || r.track.low.Load() >= r.endAt.Load() {
		r.nudge()
	}
}

// nudge wakes the loop. It never blocks: one token in wake is enough, because the loop looks at all conditions each
// time.
func (r *run) nudge() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// saveDue reports whether the loop must call saveBetween before it goes on. The loop asks before every record.
func (r *run) saveDue() bool { return r.tick.Load() || r.done() >= r.saveAt.Load() }

// save stores the place behind the last done record, unless the store holds that place already. save repeats a failed
// attempt where repeating is safe: a save may have succeeded without our knowledge, and under the same epoch another save
// only stores the same again.
//
// Only the loop calls save on its own account, and only between two records. A save in the background would be a danger:
// the save could be on its way to the store while the loop's body commits a later place in a transaction of its own. The
// late save would then move the stored place back before a committed effect, and the effect would happen twice.
func (r *run) save(ctx context.Context) error {
	if r.store == nil {
		return nil
	}
	select {
	case r.saving <- struct{}{}:
		defer func() { <-r.saving }()
	case <-ctx.Done():
		return ctx.Err()
	}
	done := r.done() // before progress: a record that is finished in between counts towards the next save
	at, beyond, low := r.track.progress()
	cp := checkpoint.Checkpoint{Offset: at, Epoch: r.epoch, Ahead: beyond}
	// A relative start, such as Latest, is not a place yet: no reader has resolved it.
	if cp == r.saved || at.Relative() {
		r.rearm(done)
		return nil
	}
	// The loop's body knows a place that is further than at. Ask the store whether the body has stored it.
	if given := r.givenOut.Load(); low < given {
		if further, err := r.storedFurther(ctx, at, low, given); further || err != nil {
			return err
		}
	}
	err := r.retry.do(ctx, "save the checkpoint", func(attempt int) error {
		return r.saveOnce(ctx, cp, attempt)
	})
	if err != nil {
		return err
	}
	r.saved = cp
	r.rearm(done)
	return nil
}

// storedFurther reports whether the store holds at, or a place behind at that Message.Checkpoint has given out. In both
// cases a save of at would be wrong or useless: the save would move the stored place back, before a committed effect of
// the loop's body. A place that was given out and not stored prevents no save: the body may have asked for the place only
// for its log, or may have rolled its transaction back.
func (r *run) storedFurther(ctx context.Context, at backend.Offset, low, given uint64) (bool, error) {
	var cp checkpoint.Checkpoint
	err := r.retry.do(ctx, "load the checkpoint", func(int) (err error) {
		cp, err = r.store.Load(ctx, r.key)
		return err
	})
	// With another epoch in the store, a newer consumer has claimed the key. The save will report that as ErrFenced.
	if err != nil || cp.Epoch != r.epoch {
		return false, err
	}
	return cp.Offset == at || r.track.endsWithin(cp.Offset, low, given), nil
}

// saveOnce calls Save once, and reports the result to the hooks and the counters.
func (r *run) saveOnce(ctx context.Context, cp checkpoint.Checkpoint, attempt int) error {
	begun := time.Now()
	err := r.store.Save(ctx, r.key, cp)
	ev := SaveEvent{Offset: cp.Offset, Attempt: attempt, Elapsed: time.Since(begun), Err: err}
	if err != nil {
		fire(r.hooks, hookSaveFailed, ev)
		return err
	}
	r.counters.saved.Add(1)
	fire(r.hooks, hookSaved, ev)
	return nil
}
