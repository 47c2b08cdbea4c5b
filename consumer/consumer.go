package consumer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/internal/ahead"
	"github.com/headrace/headrace/internal/inhand"
)

// A Consumer reads one stream and remembers its place in the stream. A Consumer runs one loop at a time:
// [Consumer.Messages], [Consumer.Batches], [Consumer.Process] or [Consumer.Pipe]. A loop goes on behind the last done
// record of the loop before. With [Checkpoint] a loop goes on from the place in the store, because another consumer may
// have moved the place on in between.
//
// Any goroutine may call Commit, Lag and Stats at any time. There is nothing to close: when a loop has ended, all its
// goroutines have ended, too. Only a handler of Process may still run, if the handler has not returned within DrainTimeout
// after the end of its ctx.
type Consumer[T any] struct {
	src      backend.Source
	codec    codec.Codec[T]
	cfg      config
	counters counters
	endHooks []func() // called when the loop ends; only the loop uses the field

	// mu guards the fields below. It is never held during I/O.
	mu           sync.Mutex
	running      bool  // a loop is running, or is claiming its key
	run          *run  // of the current loop or the last one; nil before the first loop
	finalSaveErr error // why the last loop's final save failed, until a caller is told
}

// New returns a consumer of src, and does no I/O: the first loop reports an error in the address of src. New fails when
// src or c is nil, or when an option has a forbidden value.
func New[T any](src backend.Source, c codec.Codec[T], opts ...Option) (*Consumer[T], error) {
	if src == nil || c == nil {
		return nil, errors.New("consumer: the source or the codec is nil: give New both")
	}
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	return &Consumer[T]{src: src, codec: c, cfg: cfg}, nil
}

// Commit saves what is done now. The record in hand is not done unless [Message.Ack] was called for it. A nil error
// means: the place is stored, or there was nothing new to store. For example, the body may have stored a later place of
// [Message.Checkpoint] already.
//
// Commit fails without [Checkpoint]. Once a newer consumer has claimed the key, a Commit with something new to store fails with
// [backend.ErrFenced]. Other errors come from the store: within ctx, Commit repeats a failed save where a repetition is safe.
//
// If the loop's body stores [Message.Checkpoint] itself, only the body may call Commit: a call from another goroutine may
// come between the body's two steps. A hook must not call Commit: a save calls hooks, and Commit in a hook would wait for
// the same save until ctx is over.
func (c *Consumer[T]) Commit(ctx context.Context) error {
	if !c.cfg.hasStore {
		return errors.New("consumer: commit: there is no checkpoint store: give the option Checkpoint")
	}
	r := c.latest()
	if r == nil {
		return nil
	}
	err := r.save(ctx)
	// Commit has saved the place, or returns an error of its own now. In both cases the error of the last loop's final
	// save is out of date. When ctx has ended, Commit may not have asked the store, and the error stays.
	if err == nil || ctx.Err() == nil {
		c.swapFinalSaveErr(nil)
	}
	if err != nil {
		return fmt.Errorf("consumer: commit: %w", err)
	}
	return nil
}

// latest returns the run of the current loop or the last one.
func (c *Consumer[T]) latest() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run
}

// beginLoop claims the key and starts reading. When the final save of the last loop failed and no caller was told,
// beginLoop returns that error once instead.
func (c *Consumer[T]) beginLoop(ctx context.Context, m mode) (*loop[T], error) {
	c.mu.Lock()
	if c.running {
		c.mu.Unlock()
		return nil, errors.New("consumer: a loop of this consumer is running: end that loop first, or use a second consumer")
	}
	if err := c.finalSaveErr; err != nil {
		c.finalSaveErr = nil
		c.mu.Unlock()
		return nil, err
	}
	// Set running before the claim, because mu is not held during the claim: a claim takes as long as the store does.
	c.running = true
	before := c.run
	c.mu.Unlock()
	begun := false
	defer func() {
		if !begun { // by an error, or by a panic of the store or of a hook
			c.mu.Lock()
			c.running = false
			c.mu.Unlock()
		}
	}()

	r, err := c.claim(ctx, m, before)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	// The tail of the previous loop says nothing about this loop.
	c.counters.caughtUp.Store(false)
	c.counters.closed.Store(false)
	c.mu.Lock()
	c.run = r
	if before != nil {
		c.counters.done.Add(before.track.low.Load())
	}
	c.mu.Unlock()
	l := startLoop(ctx, c, r)
	begun = true
	return l, nil
}

// claim finds the place where the loop begins, and claims the key if there is a checkpoint store.
func (c *Consumer[T]) claim(ctx context.Context, m mode, before *run) (*run, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	from := c.cfg.startAt
	if !c.cfg.hasStore {
		var done []ahead.Run
		if before != nil {
			var text string
			from, text, _ = before.track.progress()
			done, _ = ahead.Decode(from, text) // progress has just written it
		}
		return newRun(&c.cfg, m, &c.counters, from, done), nil
	}
	if before != nil {
		// Save the records acknowledged after the last loop's final save. Otherwise the records would come again. With
		// ErrFenced another consumer has the key, and we must go on from the other's place: the claim below is right.
		if err := before.save(ctx); err != nil && !errors.Is(err, backend.ErrFenced) {
			return nil, fmt.Errorf("consumer: save the checkpoint of the last loop: %w", err)
		}
	}
	var cp checkpoint.Checkpoint
	err := retrier{c.cfg.retry, c.cfg.logger}.do(ctx, "claim the checkpoint", func(int) (err error) {
		// If the reply to a claim was lost, the claim may have raised the epoch. Another claim raises the epoch again,
		// and our epoch is the newest in both cases.
		cp, err = c.cfg.store.Claim(ctx, c.cfg.key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("consumer: claim the checkpoint: %w", err)
	}
	// An empty offset means: there is no checkpoint. An empty offset does not mean the start of the stream.
	if cp.Offset != "" {
		from = cp.Offset
	}
	done, err := ahead.Decode(cp.Offset, cp.Ahead)
	if errors.Is(err, ahead.ErrOtherPlace) {
		// Somebody has changed the place in the store, for example to process records again.
		c.cfg.logger.WarnContext(ctx, "consumer: the checkpoint lists done records behind another place; they run again", "at", from)
	} else if err != nil {
		return nil, fmt.Errorf("consumer: the checkpoint %.64q: %w", c.cfg.key, err)
	}
	r := newRun(&c.cfg, m, &c.counters, from, done)
	r.epoch, r.saved = cp.Epoch, cp
	return r, nil
}

// loopEnded calls the functions that the hooks LoopStarted have returned, and allows the next loop to begin, also when one of the
// functions panics. finalSaveErr is the error that the ended loop could not yield.
func (c *Consumer[T]) loopEnded(finalSaveErr error) {
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.running, c.finalSaveErr, c.endHooks = false, finalSaveErr, nil
	}()
	for _, f := range c.endHooks {
		f()
	}
}

// swapFinalSaveErr makes err the first error of the next loop, and returns the error from before.
func (c *Consumer[T]) swapFinalSaveErr(err error) (before error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	before, c.finalSaveErr = c.finalSaveErr, err
	return before
}

// startLoop starts the goroutines and the timer of a loop. loop.close ends them.
func startLoop[T any](ctx context.Context, c *Consumer[T], r *run) *loop[T] {
	c.endHooks = startHooks(c.cfg.hooks, c.Stats)
	beside, stop := context.WithCancel(ctx)
	l := &loop[T]{c: c, run: r, stop: stop, cur: new(chunk[T]), hold: inhand.From(ctx)}
	from, _ := r.track.position()
	l.pipe = newPipeline(c.codec, c.cfg.decoders, r.track)
	l.pipe.start(beside, &fetcher{
		src: c.src, key: c.cfg.key, at: from, bound: stopBound{at: c.cfg.stopAt}, track: r.track, stalls: r.stalls, attempt: 1,
		retry: c.cfg.retry, hooks: c.cfg.hooks, logger: c.cfg.logger, down: outage{logger: c.cfg.startLogger}, counters: &c.counters,
	})
	if c.cfg.hasStore && c.cfg.interval > 0 {
		l.timer = time.AfterFunc(c.cfg.interval, func() {
			r.tick.Store(true)
			r.nudge()
		})
	}
	return l
}
