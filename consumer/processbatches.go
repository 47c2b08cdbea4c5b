package consumer

import (
	"context"
	"errors"
)

// ProcessBatches is [Consumer.Process] for handlers that do the work of many records at once, such as one statement for a
// hundred rows. A batch has up to [BatchRecords] records and waits at most [BatchWait] for them, as in
// [Consumer.Batches]. With [Consumer.KeyBy] a batch holds records of one key, in order: the records gathered while the
// batch before was in hand. Between the records of a batch there may be at most about 500 gaps, divided by [Concurrency]:
// otherwise one batch would fill the list of done records in the checkpoint.
//
// All promises of Process hold here, too: retries, dead letters, order per key, checkpoints, shutdown. If the error of a
// handler names no record, the batch is tried again as a whole, as [Retries] says. After the last retry each record of
// the batch gets one more attempt in a batch of its own, and only records that fail alone are given up. A handler that
// knows the failed records returns a [*BatchError]. [Permanent] gives up all records of the batch.
//
// [RateLimit] counts batches. [Use] is for Process only.
func (c *Consumer[T]) ProcessBatches(ctx context.Context, h BatchHandler[T], opts ...ProcessOption) error {
	cfg, err := newProcessConfig(opts)
	if err != nil {
		return err
	}
	if h == nil {
		return errors.New("consumer: process: the handler is nil")
	}
	if len(cfg.middleware) > 0 {
		return errors.New("consumer: Use: ProcessBatches takes no middleware; put it around the handler")
	}
	return c.process(ctx, work[T]{batch: h, cfg: cfg})
}

// A BatchHandler does the work of several records. When a BatchHandler returns nil, all records are done. The slice belongs to
// the handler. See [Handler] for ctx.
type BatchHandler[T any] func(ctx context.Context, batch []Message[T]) error

// collectTasks hands batches to the workers. It returns nil when the stream has ended and all records are done.
func (l *loop[T]) collectTasks(ctx context.Context, w *workers[T]) error {
	var (
		batch []task[T]
		keys  []string
	)
	for {
		n, err := l.collect(ctx, func(n int) {
			for i := range n {
				batch, keys = w.work.appendTask(batch, keys, l.cur, l.at+i)
			}
		})
		if err != nil {
			return err
		}
		if n == 0 {
			return l.waitAllDone(ctx)
		}
		if w.work.key == nil {
			whole := batch[0]
			for i, t := range batch[1:] {
				if t.seq() != batch[i].seq()+1 { // behind records that are left out
					whole.gaps++
				}
				whole.rest = append(whole.rest, t.entry)
			}
			batch = append(batch[:0], whole)
		}
		w.add(batch, keys)
		clear(batch) // or the slice would pin what is done
		batch, keys = batch[:0], keys[:0]
	}
}

// messages returns the records of a task, for a handler of batches.
func (w *workers[T]) messages(t *task[T]) []Message[T] {
	batch := make([]Message[T], 0, 1+len(t.rest))
	batch = append(batch, t.message(w.loop.run))
	for i := range t.rest {
		batch = append(batch, t.rest[i].message(w.loop.run))
	}
	return batch
}

// finishOthers finishes the records of a batch that did not fail according to err. The records that remain in t have
// failed with the returned error.
func (w *workers[T]) finishOthers(t *task[T], err error) error {
	all := append([]entry[T]{t.entry}, t.rest...)
	failed := make(map[int]error)
	if !failedRecords(err, len(all), failed) {
		return err
	}
	first := len(all)
	for i := range failed {
		first = min(first, i)
	}
	t.entry, t.rest, t.gaps = all[first], nil, 0
	for i, e := range all {
		one := &task[T]{entry: e}
		switch _, bad := failed[i]; {
		case i == first:
		case i > first && t.lane != nil:
			// The records behind the first failed record have the same key. To finish these records now would change the order.
			w.putBack(t.lane, all[i:])
			return failed[first]
		case bad:
			w.failed(one, failed[i])
		default:
			w.finish(one)
		}
	}
	return failed[first]
}

// putBack makes records the next ones of their lane.
func (w *workers[T]) putBack(l *lane[T], es []entry[T]) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l.waiting.unpop(es)
}

// split lets each record of a failed batch have its last attempt alone.
func (w *workers[T]) split(t *task[T]) {
	all := append([]entry[T]{t.entry}, t.rest...)
	for i := range all {
		all[i].alone, all[i].attempts = true, t.attempts
	}
	if t.lane != nil {
		w.putBack(t.lane, all[1:])
		all = all[:1]
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range all {
		w.ready.push(task[T]{entry: e, lane: t.lane})
	}
	w.wakeLocked(len(all))
}
