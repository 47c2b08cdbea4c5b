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
)

// A Consumer reads one stream and remembers its place in it. It runs one loop at a time: [Consumer.Messages],
// [Consumer.Batches] or [Consumer.Pipe]. A loop goes on behind the last done record of the one before or, with
// [Checkpoint], from what the store holds then, for another consumer may have moved on in between.
//
// Commit and Stats may be called from any goroutine at any time. There is nothing to close: what a loop started has
// ended when the loop has.
type Consumer[T any] struct {
	src      backend.Source
	codec    codec.Codec[T]
	cfg      config
	counters counters

	mu      sync.Mutex
	running bool
	run     *run  // of this loop or the last; nil before the first
	unsaved error // why the last loop's final save failed, while nobody has been told
}

// New returns a consumer of src. It does no I/O: what is wrong with the address is said by the first loop.
func New[T any](src backend.Source, c codec.Codec[T], opts ...Option) (*Consumer[T], error) {
	if src == nil || c == nil {
		return nil, errors.New("consumer: the source or the codec is nil")
	}
	cfg, err := newConfig(opts)
	if err != nil {
		return nil, err
	}
	return &Consumer[T]{src: src, codec: c, cfg: cfg}, nil
}

// Commit saves what is done now: not the record in hand, unless [Message.Ack] was called. nil means that it is stored,
// or that nothing is done that was not: a later place, given out by [Message.Checkpoint], may be stored already. Commit
// fails without [Checkpoint], with [backend.ErrFenced] once a newer consumer has taken the key, and otherwise as the store
// does, after trying again within ctx what is safe to try again. Where the loop's body stores [Message.Checkpoint] itself,
// Commit is for the body alone: from elsewhere it may come in between. A hook must not call Commit: a save calls hooks, and
// Commit would wait for that save until ctx is over.
func (c *Consumer[T]) Commit(ctx context.Context) error {
	if !c.cfg.stored {
		return errors.New("consumer: commit: there is no checkpoint store")
	}
	r := c.latest()
	if r == nil {
		return nil
	}
	err := r.save(ctx)
	if err == nil || ctx.Err() == nil {
		// Whatever the final save of the last loop said is mended or told by now.
		c.mu.Lock()
		c.unsaved = nil
		c.mu.Unlock()
	}
	if err != nil {
		return fmt.Errorf("consumer: commit: %w", err)
	}
	return nil
}

func (c *Consumer[T]) latest() *run {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.run
}

// begin claims the key and starts reading.
func (c *Consumer[T]) begin(ctx context.Context, m mode) (*loop[T], error) {
	c.mu.Lock()
	if c.running {
		c.mu.Unlock()
		return nil, errors.New("consumer: a loop of this consumer is running")
	}
	if err := c.unsaved; err != nil {
		c.unsaved = nil
		c.mu.Unlock()
		return nil, err
	}
	c.running = true // now, for a claim takes as long as the store does and the lock is not held over it
	before := c.run
	c.mu.Unlock()

	r, err := c.claim(ctx, m, before)
	if err != nil {
		c.mu.Lock()
		c.running = false
		c.mu.Unlock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	c.mu.Lock()
	c.run = r
	if before != nil {
		c.counters.done.Add(before.track.low.Load())
	}
	c.mu.Unlock()
	return startLoop(ctx, c, r), nil
}

// claim finds out where to begin.
func (c *Consumer[T]) claim(ctx context.Context, m mode, before *run) (*run, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	from := c.cfg.startAt
	if !c.cfg.stored {
		if before != nil {
			from, _ = before.track.position()
		}
		return newRun(&c.cfg, m, &c.counters, from), nil
	}
	if before != nil {
		// What was acknowledged after the last loop's final save would otherwise come again. If somebody else has the
		// key by now, theirs is the place to go on from.
		if err := before.save(ctx); err != nil && !errors.Is(err, backend.ErrFenced) {
			return nil, fmt.Errorf("consumer: checkpoint: %w", err)
		}
	}
	var cp checkpoint.Checkpoint
	err := retrier{c.cfg.retry, c.cfg.logger, c.cfg.key}.do(ctx, "claim the checkpoint", func(int) (err error) {
		// A claim whose reply was lost has raised the epoch; another raises it again, and ours is the newest either way.
		cp, err = c.cfg.store.Claim(ctx, c.cfg.key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("consumer: claim the checkpoint: %w", err)
	}
	if cp.Offset != "" { // empty is no checkpoint, which is not the start
		from = cp.Offset
	}
	r := newRun(&c.cfg, m, &c.counters, from)
	r.epoch, r.saved = cp.Epoch, cp.Offset
	return r, nil
}

// finished lets the next loop begin.
func (c *Consumer[T]) finished(unsaved error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.running, c.unsaved = false, unsaved
}

// startLoop starts what runs beside a loop; loop.close ends it.
func startLoop[T any](ctx context.Context, c *Consumer[T], r *run) *loop[T] {
	beside, stop := context.WithCancel(ctx)
	l := &loop[T]{c: c, run: r, stop: stop, cur: new(chunk[T])}
	from, _ := r.track.position()
	l.pipe = newPipeline(c.codec, c.cfg.decoders, r.track)
	l.pipe.start(beside, &fetcher{
		src: c.src, at: from, stopAtTail: c.cfg.stopAtTail, track: r.track, stalls: r.stalls,
		retry: c.cfg.retry, hooks: c.cfg.hooks, logger: c.cfg.logger, counters: &c.counters,
	})
	if c.cfg.stored && c.cfg.interval > 0 {
		l.timer = time.AfterFunc(c.cfg.interval, func() {
			r.tick.Store(true)
			r.nudge()
		})
	}
	return l
}
