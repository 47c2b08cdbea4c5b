package consumer

import (
	"context"
	"iter"
	"slices"
	"time"
)

// Batches follows the stream and hands out up to [BatchRecords] records at a time, at the latest [BatchWait] after the
// arrival of the first record. A whole batch is done when the loop asks for the next batch, unless [ManualAck] was given.
// A body that leaves the loop in the middle of a batch may call [Message.Ack] of a record: the batch is then done up to
// the record. Records before an error or before the end of the stream are handed out first.
//
// The slice is lent until the loop asks for the next batch, which uses the same memory again. To keep a batch for longer,
// or to hand a batch to another goroutine, copy the slice with slices.Clone. The messages themselves are values: a copy
// of a message stays valid for ever, with its Value and its bytes.
//
// Always range over both values, as with [Consumer.Messages]: an error comes with an empty batch.
func (c *Consumer[T]) Batches(ctx context.Context) iter.Seq2[[]Message[T], error] {
	return func(yield func([]Message[T], error) bool) {
		iterate(ctx, c, yield, func(l *loop[T]) (bool, error) { return l.batches(ctx, yield) })
	}
}

// batches hands out batches until the end, and reports whether the body left the loop.
func (l *loop[T]) batches(ctx context.Context, yield func([]Message[T], error) bool) (left bool, err error) {
	for {
		batch, err := l.gather(ctx)
		if err != nil {
			return false, err
		}
		if len(batch) == 0 {
			return false, l.waitAllDone(ctx)
		}
		if err := l.stopped(ctx); err != nil { // collecting may have waited
			return false, err
		}
		if !yield(batch, nil) {
			return true, nil
		}
		l.gathered = 0
		if l.run.mode == inOrder {
			l.run.track.doneBelow(l.next())
		}
	}
}

// gather returns the next batch. The batch is empty at the end of the stream.
//
// All batches of a loop share one slice; therefore a batch is lent. New memory for each batch cost four times as much as
// the rest of a record together (measured with 100 bytes a record from memory: 144 bytes a message must be allocated,
// cleared and collected again).
func (l *loop[T]) gather(ctx context.Context) ([]Message[T], error) {
	was := len(l.batch)
	batch := l.batch[:0]
	_, err := l.collect(ctx, func(n int) {
		first := len(batch)
		// Grow at least for the records that are here, and double otherwise. At the tail a batch is much smaller than
		// BatchRecords.
		batch = slices.Grow(batch, n)[:first+n]
		for i := range n {
			at := l.at + i
			m := &batch[first+i]
			m.Record, m.Value = l.cur.recs[at], l.cur.values[at]
			m.run, m.seq = l.run, l.cur.first+uint64(at)
		}
	})
	// The batch before was longer: forget its messages behind this batch, or they would keep their bytes in memory.
	clear(batch[len(batch):max(min(was, cap(batch)), len(batch))])
	l.batch = batch
	return batch, err
}

// collect gathers up to BatchRecords records, and waits up to BatchWait for them. For each part of the batch, collect
// calls take with the number of records of the part; the part begins at index at of cur. collect returns the number of
// records in the batch: 0 at the end of the stream.
func (l *loop[T]) collect(ctx context.Context, take func(n int)) (int, error) {
	cfg, got := &l.c.cfg, 0
	var until time.Time
	for got < cfg.batchRecords {
		ok, err := l.ready(ctx, until)
		if !ok {
			// The records before an end of the stream are handed out first, and ready returns the same error again at the
			// next call. The end of ctx and a failed save end the loop at once: nobody wants further records, or nobody
			// could save their place.
			if err != nil && (got == 0 || !l.ended) {
				return 0, err
			}
			break
		}
		n := min(cfg.batchRecords-got, l.decodedEnd()-l.at)
		if got == 0 {
			// The time of the batch counts from the arrival of its first record. While the body of the loop was
			// working, the records have already waited.
			until = l.cur.arrived.Add(cfg.batchWait)
		}
		take(n)
		l.at += n
		got += n
		l.gathered = got
	}
	return got, nil
}
