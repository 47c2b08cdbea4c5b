package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/internal/inhand"
	"github.com/headrace/headrace/producer"
)

// A loop is one pass over the stream, in the goroutine that ranges over it. Messages, Batches, Process and Pipe differ in
// their work with the next record. The loop is their common part: the loop gets the next record, saves places between two
// records, and ends everything.
//
// Only this goroutine uses the fields; run and pipe hold everything shared with other goroutines.
type loop[T any] struct {
	c     *Consumer[T]
	run   *run
	pipe  *pipeline[T]
	stop  context.CancelFunc // ends the reader and the decoders
	timer *time.Timer        // makes a save due for CheckpointEvery; nil when there is no interval

	cur      *chunk[T] // the chunk whose records are handed out now
	at       int       // index of the next record in cur
	received int64     // number of chunks received from pipe
	// gathered is the number of records that a loop over batches has collected and not handed out yet. These records are not done, so
	// skip must not move the low-water mark past them.
	gathered int
	batch    []Message[T]   // of Batches: the batch in hand, whose memory the next batch uses again
	receipts *receiptWaiter // in a Pipe; nil in other loops
	hold     *inhand.Hold   // the lease, in a group; nil outside a group

	ended   bool  // no more record comes, for the reason endErr
	endErr  error // nil at the end of the stream or at the tail
	saveErr error // the error of a save in the middle of the loop; the loop ends with saveErr
}

// decodedEnd returns the index behind the last record of cur that can be handed out now: from index at up to there, cur
// decoded without an error and no earlier loop has finished a record.
func (l *loop[T]) decodedEnd() int {
	end := len(l.cur.recs)
	if len(l.cur.bad) > 0 {
		end = l.cur.bad[0].at
	}
	if len(l.cur.done) > 0 {
		end = min(end, int(l.cur.done[0].From-l.cur.first))
	}
	return end
}

// next returns the number of the next record.
func (l *loop[T]) next() uint64 { return l.cur.first + uint64(l.at) }

// ready returns true when cur.recs[at] is a decoded record that the loop may hand out. Before, ready saves the place if a save is
// due, and deals with records that do not decode.
//
// When no record arrived before the time until, ready returns false without an error; with a zero until, ready waits without a
// limit. When nothing more comes, ready returns false, sets ended and returns endErr (nil at the end of the stream), also when it
// is called again. Any other error, of ctx or of a save, ends the loop at once.
func (l *loop[T]) ready(ctx context.Context, until time.Time) (bool, error) {
	for {
		if l.ended {
			return false, l.endErr
		}
		if err := l.stopped(ctx); err != nil {
			return false, err
		}
		// No record is in hand here, because the caller has asked for the next one. While a record is in hand, the loop's
		// body may be storing its place, and a save here could overtake and undo the place.
		if l.run.saveDue() {
			if err := l.saveBetween(ctx); err != nil {
				return false, err
			}
		}
		if l.at < l.decodedEnd() {
			return true, nil
		}
		if l.skipDone() {
			continue
		}
		// The record at hand did not decode.
		if l.at < len(l.cur.recs) {
			if err := l.skipPoison(ctx); err != nil {
				return false, l.endWith(err)
			}
			continue
		}
		ch, err := l.receive(ctx, until)
		if err != nil || ch == nil {
			return false, err
		}
		if ch.last {
			// cur stays as it is: waitAllDone may still wait for its last record.
			return false, l.endWith(ch.err)
		}
		if err := l.startChunk(ctx, ch); err != nil {
			return false, err
		}
	}
}

// stopped returns ctx's error if no record may begin any more. In a group, stopped asks the clock first: see
// [inhand.Hold].
func (l *loop[T]) stopped(ctx context.Context) error {
	l.hold.Over()
	return ctx.Err()
}

// endWith records why no more record comes. The error is kept and not yielded at once, because a batch that was begun
// is handed out first.
func (l *loop[T]) endWith(err error) error {
	l.ended, l.endErr = true, err
	return err
}

// receive returns the next chunk, decoded. When no chunk arrived before until, receive returns nil without an error.
func (l *loop[T]) receive(ctx context.Context, until time.Time) (*chunk[T], error) {
	// Look at the queue alone first. The select below takes any ready case: when the time of a batch is over, the select
	// would cut the batch short at random although more records are here.
	select {
	case ch := <-l.pipe.queue:
		return l.waitDecoded(ctx, ch)
	default:
	}
	l.forget()
	var late <-chan time.Time
	if !until.IsZero() {
		left := time.Until(until)
		// The batch is handed out now: its time is over, or no record can come before it is handed out.
		if left <= 0 || l.starved() {
			return nil, nil
		}
		t := time.NewTimer(left)
		defer t.Stop()
		late = t.C
	}
	for {
		select {
		case ch := <-l.pipe.queue:
			return l.waitDecoded(ctx, ch)
		case <-l.run.wake:
			if l.run.saveDue() {
				if err := l.saveBetween(ctx); err != nil {
					return nil, err
				}
			}
			if late != nil && l.starved() {
				return nil, nil
			}
		case <-late:
			return nil, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// forget drops the chunk whose records have all been handed out, if the wait for the next chunk may be long. Otherwise a loop at
// the end of its stream would hold a whole batch in memory.
func (l *loop[T]) forget() {
	// In mode handled, a handler may still work on a record of the chunk. Before the end of the stream, the next chunk comes
	// soon. When we dropped chunks there too, the heap of a small program was smaller, so the garbage collector ran more often:
	// records of 1 KiB took a tenth more processor time.
	if l.run.mode == handled || !l.run.counters.caughtUp.Load() {
		return
	}
	l.pipe.recycle(l.cur.values)
	*l.cur, l.at = chunk[T]{first: l.next()}, 0
}

// waitDecoded waits until ch is decoded, and counts ch.
func (l *loop[T]) waitDecoded(ctx context.Context, ch *chunk[T]) (*chunk[T], error) {
	l.received++
	if ch.ready == nil {
		return ch, nil
	}
	select {
	case <-ch.ready:
		return ch, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// starved reports whether reading has stopped because BufferBytes is full, and all chunks are here. A batch that waits
// for more records then holds the memory itself: further records come only after the batch is handed out.
func (l *loop[T]) starved() bool {
	return l.run.track.budget.full.Load() && l.received == l.pipe.handedOver.Load()
}

// startChunk makes ch the chunk whose records are handed out next. A chunk without records only moves the place on.
func (l *loop[T]) startChunk(ctx context.Context, ch *chunk[T]) error {
	if ch.start != "" {
		// ch.start is the absolute place of a relative start, such as Latest. Save the place before any record is handed
		// out. Otherwise, after a kill in its first record, a consumer would begin at a later tail and lose the records
		// in between.
		l.run.track.pin(ch.start)
		if err := l.save(ctx); err != nil {
			return err
		}
	}
	if len(ch.recs) == 0 {
		l.run.track.extend(ch.next)
		return nil
	}
	s := span{first: ch.first, recs: ch.recs, next: ch.next, bytes: ch.bytes}
	// Where a handler may have the record, the slice never goes back to the reader: a handler that Process does not wait for any more
	// may still look at the record.
	if l.run.mode != handled {
		s.lent = ch.lent
	}
	done, err := l.run.track.push(s)
	if err != nil {
		l.c.cfg.logger.WarnContext(ctx, "consumer: some records that were done run again", "at", ch.recs[0].Offset, "err", err)
	}
	ch.done = done
	// Messages hold copies of the values. Only handlers of Process use a chunk that the loop has left.
	if l.run.mode != handled {
		l.pipe.recycle(l.cur.values)
		l.cur.values = nil
	}
	l.cur, l.at = ch, 0
	return nil
}

// skipDone skips the records that an earlier loop has finished, from the record at hand on, and reports whether it has skipped
// any. A finished record may fail to decode now, without harm. But when the codec panicked at a record, no record behind was
// decoded, and the loop ends at that record.
func (l *loop[T]) skipDone() bool {
	ch := l.cur
	if len(ch.done) == 0 || ch.done[0].From > l.next() {
		return false
	}
	to, skipped := ch.done[0].To, false
	for l.next() < to {
		if len(ch.bad) > 0 && ch.bad[0].at == l.at {
			if ch.bad[0].panicked != "" {
				ch.done = nil // the loop ends at this record
				return skipped
			}
			ch.bad = ch.bad[1:]
		}
		l.skip()
		skipped = true
	}
	ch.done = ch.done[1:]
	return true
}

// skip passes the record at hand, because there is nothing to do for the record. How the record becomes done depends on the mode.
func (l *loop[T]) skip() {
	switch seq := l.next(); {
	case l.run.mode == byAck, l.run.mode == handled:
		l.run.track.markDone(seq)
	case l.run.mode == piped:
		// The receipt waiter finishes the record in its turn, behind the records before it.
		l.receipts.push(producer.Skip)
	case l.gathered == 0:
		l.run.track.doneBelow(seq + 1)
	// Earlier records of the same batch are gathered and not handed out yet. The record at hand becomes done together
	// with the batch.
	default:
	}
	l.at++
}

// saveBetween does the save that is due, between two records.
func (l *loop[T]) saveBetween(ctx context.Context) error {
	// The timer starts again after the save and not at its tick. Otherwise, with a store slower than the interval, the
	// loop would do nothing but save.
	ticked := l.run.tick.Swap(false)
	err := l.save(ctx)
	if ticked {
		l.timer.Reset(l.c.cfg.interval)
	}
	return err
}

// save saves the place in the middle of the loop. When a save fails for good, or when the retry policy gives up, the loop
// ends. Otherwise the loop would do more and more work, and a restart would have to repeat the work.
func (l *loop[T]) save(ctx context.Context) error {
	err := l.run.save(ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		// The save was interrupted, and did not fail. The final save of the loop will say whether the place is stored.
		return ctx.Err()
	}
	l.saveErr = fmt.Errorf("consumer: save the checkpoint: %w", err)
	return l.saveErr
}
