package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Process runs h for every record: up to [Concurrency] handlers at once, in order for records with the same key
// ([Consumer.KeyBy]). A failed record is tried again, as [Retries], [RetryBackoff], [Permanent] and [RetryAfter] say. A
// panic of h is a failure.
//
// With [DeadLetters], a record that has failed for good becomes a dead letter, and is done when the letter is durable.
// Without DeadLetters, Process stops with a [*ProcessError], so no record is dropped. While a record waits for its next
// attempt, records of other keys go on, up to [BufferBytes] of unfinished records.
//
// The checkpoint follows the low-water mark: the checkpoint passes a record when the record and all earlier records are
// done. The checkpoint also lists the done records above the mark (Ahead). So after a crash only the records in hand and
// the records finished since the last save ([CheckpointEvery]) run again, however many others are in between. The list
// has room for about 1,000 gaps. While the list is full, only the oldest record begins; with more than 500 handlers at
// once, some more records may run again instead.
//
// Process returns nil at the end of a closed stream or, with [StopAtTail], at the tail. When ctx ends, waiting records
// do not begin, and handlers that run may finish within [DrainTimeout]. Then Process saves the place and returns ctx's
// error. The end of ctx counts neither as a failure nor as an attempt.
func (c *Consumer[T]) Process(ctx context.Context, h Handler[T], opts ...ProcessOption) error {
	cfg, err := newProcessConfig(opts)
	if err != nil {
		return err
	}
	if h == nil {
		return errors.New("consumer: process: the handler is nil")
	}
	if h, err = withMiddleware(&cfg, h); err != nil {
		return err
	}
	return c.process(ctx, work[T]{handle: h, cfg: cfg})
}

// work is what the workers of a loop do. One of handle and batch is set.
type work[T any] struct {
	handle Handler[T]
	batch  BatchHandler[T]
	key    func(T) string // set by process; nil: records have no order
	cfg    processConfig
}

func (c *Consumer[T]) process(ctx context.Context, do work[T]) (err error) {
	if do.key, err = keyFunc[T](&do.cfg); err != nil {
		return err
	}
	l, err := c.beginLoop(ctx, handled)
	if err != nil {
		return err
	}
	left := true // by a panic of the codec
	defer func() {
		if left {
			l.closeAfterBreak(ctx)
		}
	}()
	err = l.processAll(ctx, do)
	left = false
	return l.closeWith(ctx, err)
}

func (l *loop[T]) processAll(ctx context.Context, do work[T]) error {
	handing, stop := context.WithCancel(ctx)
	defer stop()
	w := startWorkers(ctx, l, do, stop)
	idle := false
	err := func() error {
		// Also when the codec or OnPoison panics here: otherwise the workers would wait for ever.
		defer func() { idle = w.drain(l.c.cfg.drainTimeout) }()
		if do.batch != nil {
			return l.collectTasks(handing, w)
		}
		return l.dispatch(handing, w)
	}()
	failure := w.failure()
	switch {
	case failure != nil && (err == nil || handing.Err() != nil && ctx.Err() == nil):
		err = failure
	case failure != nil:
		err = errors.Join(failure, err)
	}
	if !idle {
		l.c.cfg.logger.WarnContext(ctx, "consumer: process: handlers still run; their records come again", "waited", l.c.cfg.drainTimeout)
	}
	return err
}

// dispatch hands records to the workers. It returns nil when the stream has ended and all records are done.
func (l *loop[T]) dispatch(ctx context.Context, w *workers[T]) error {
	var (
		batch []task[T]
		keys  []string
	)
	for {
		if ok, err := l.ready(ctx, time.Time{}); err != nil {
			return err
		} else if !ok {
			return l.waitAllDone(ctx)
		}
		batch, keys = batch[:0], keys[:0]
		end := l.decodedEnd()
		if w.work.key == nil {
			batch = append(batch, task[T]{entry: entry[T]{ch: l.cur, at: int32(l.at)}, more: int32(end - l.at - 1)})
			l.at = end
		}
		for ; l.at < end; l.at++ {
			batch, keys = w.work.appendTask(batch, keys, l.cur, l.at)
		}
		w.add(batch, keys)
		clear(batch) // or the slice would pin what is done
	}
}

// appendTask appends the record at index at of ch to batch and, if records have keys, its key to keys.
func (do *work[T]) appendTask(batch []task[T], keys []string, ch *chunk[T], at int) ([]task[T], []string) {
	t := task[T]{entry: entry[T]{ch: ch, at: int32(at)}}
	if do.key != nil {
		var k string
		k, t.fault = keyOf(do.key, ch.values[at])
		keys = append(keys, k)
	}
	return append(batch, t), keys
}

// keyOf returns the key of v. A panic of key becomes the failure of the record.
func keyOf[T any](key func(T) string, v T) (k string, fault error) {
	defer func() {
		if fault != nil {
			fault = Permanent(fmt.Errorf("KeyBy: %w", fault))
		}
	}()
	defer panicToError(&fault)
	return key(v), nil
}
