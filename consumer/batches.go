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
	cfg := &l.c.cfg
	var (
		batch []Message[T]
		until time.Time
	)
	for len(batch) < cfg.batchRecords {
		ok, err := l.ready(ctx, until)
		if !ok {
			// The records before an end of the stream are handed out first, and ready returns the same error again at
			// the next call. A ctx that is over and a save that failed end the loop at once: nobody wants the records
			// that follow, or nobody could save their place.
			if err != nil && (len(batch) == 0 || !l.ended) {
				return nil, err
			}
			break
		}
		n := min(cfg.batchRecords-len(batch), l.decodedEnd()-l.at)
		if batch == nil {
			// Allocate for the records that are here. At the tail a batch is much smaller than BatchRecords.
			batch = make([]Message[T], 0, n)
			// The time of the batch counts from the arrival of its first record. While the body of the loop was
			// working, the records have already waited.
			until = l.cur.arrived.Add(cfg.batchWait)
		}
		for range n {
			batch = append(batch, Message[T]{
				Record: l.cur.recs[l.at], Value: l.cur.values[l.at], run: l.run, seq: l.next(),
			})
			l.at++
		}
		l.gathered = len(batch)
	}
	return batch, nil
}
