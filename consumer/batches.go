package consumer

import (
	"context"
	"iter"
	"time"
)

// Batches follows the stream, up to [BatchRecords] records at a time, at the latest [BatchWait] after the first of them
// arrived. A batch is done, as a whole, when the loop asks for the next one, unless [ManualAck] was given;
// [Message.Ack] of one of its records keeps the part up to there when the loop is left. What precedes an error or the
// end of the stream is handed out before it. The slice is the caller's. Always range over both, as with
// [Consumer.Messages]: an error comes with an empty batch.
func (c *Consumer[T]) Batches(ctx context.Context) iter.Seq2[[]Message[T], error] {
	return func(yield func([]Message[T], error) bool) {
		over(ctx, c, yield, func(l *loop[T]) (bool, error) { return l.batches(ctx, yield) })
	}
}

func (l *loop[T]) batches(ctx context.Context, yield func([]Message[T], error) bool) (left bool, err error) {
	for {
		batch, err := l.gather(ctx)
		if err != nil {
			return false, err
		}
		if len(batch) == 0 {
			return false, l.finish(ctx)
		}
		if !yield(batch, nil) {
			return true, nil
		}
		l.held = 0
		if l.run.mode == inOrder {
			l.run.track.reach(l.next())
		}
	}
}

// gather returns the next batch, empty at the end.
func (l *loop[T]) gather(ctx context.Context) ([]Message[T], error) {
	cfg := &l.c.cfg
	var (
		batch []Message[T]
		until time.Time
	)
	for len(batch) < cfg.batchRecords {
		ok, err := l.ready(ctx, until)
		if !ok {
			// What precedes an end is handed out before it, and ready says the same again. ctx and a save that failed
			// end the loop at once: nobody wants, or nobody could checkpoint, what comes after them.
			if err != nil && (len(batch) == 0 || !l.over) {
				return nil, err
			}
			break
		}
		n := min(cfg.batchRecords-len(batch), l.clean()-l.at)
		if batch == nil {
			batch = make([]Message[T], 0, n) // by what is there: at the tail a batch is much smaller than BatchRecords
			// From the arrival: records that waited for the body of the loop have waited.
			until = l.cur.arrived.Add(cfg.batchWait)
		}
		for range n {
			batch = append(batch, Message[T]{
				Record: l.cur.recs[l.at], Value: l.cur.values[l.at], run: l.run, seq: l.next(),
			})
			l.at++
		}
		l.held = len(batch)
	}
	return batch, nil
}
