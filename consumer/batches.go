package consumer

import (
	"context"
	"iter"
	"time"
)

// Batches follows the stream and hands out up to [BatchRecords] records at a time, at the latest [BatchWait] after the
// first of them arrived. A whole batch is done when the loop asks for the next one, unless [ManualAck] was given. When
// the loop is left, [Message.Ack] of one record keeps the part of the batch up to that record. Records before an error
// or before the end of the stream are handed out first. The slice belongs to the caller.
//
// Always range over both values, as with [Consumer.Messages]: an error comes with an empty batch.
func (c *Consumer[T]) Batches(ctx context.Context) iter.Seq2[[]Message[T], error] {
	return func(yield func([]Message[T], error) bool) {
		iterate(ctx, c, yield, func(l *loop[T]) (bool, error) { return l.batches(ctx, yield) })
	}
}

// batches hands out batches until the end. It reports whether the body left the loop.
func (l *loop[T]) batches(ctx context.Context, yield func([]Message[T], error) bool) (left bool, err error) {
	for {
		batch, err := l.gather(ctx)
		if err != nil {
			return false, err
		}
		if len(batch) == 0 {
			return false, l.waitAllDone(ctx)
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
func (l *loop[T]) gather(ctx context.Context) ([]Message[T], error) {
	var batch []Message[T]
	_, err := l.collect(ctx, func(n int) {
		if batch == nil {
			// Allocate for the records that are here. At the tail a batch is much smaller than BatchRecords.
			batch = make([]Message[T], 0, n)
		}
		for i := range n {
			at := l.at + i
			batch = append(batch, Message[T]{
				Record: l.cur.recs[at], Value: l.cur.values[at], run: l.run, seq: l.cur.first + uint64(at),
			})
		}
	})
	return batch, err
}

// collect gathers up to BatchRecords records, and waits up to BatchWait for them. For each part it calls take with the
// number of records from index at of cur on that belong to the batch. It returns how many records the batch has: none at
// the end of the stream.
func (l *loop[T]) collect(ctx context.Context, take func(n int)) (int, error) {
	cfg, got := &l.c.cfg, 0
	var until time.Time
	for got < cfg.batchRecords {
		ok, err := l.ready(ctx, until)
		if !ok {
			// The records before an end of the stream are handed out first, and ready returns the same error again at
			// the next call. A ctx that is over and a save that failed end the loop at once: nobody wants the records
			// that follow, or nobody could save their place.
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
