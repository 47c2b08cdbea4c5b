package consumer

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/producer"
)

// A loop is one pass over the stream, in the goroutine of whoever ranges over it. Messages, Batches and Pipe differ in
// what they do with the next record; where it comes from, what is done between two records and how it all ends is here.
type loop[T any] struct {
	c     *Consumer[T]
	run   *run
	pipe  *pipeline[T]
	stop  context.CancelFunc // of what runs beside the loop
	timer *time.Timer        // of CheckpointEvery; nil: none

	cur     *chunk[T]
	at      int      // the next record of cur
	got     int64    // chunks received
	held    int      // records taken and not handed out yet, so not to be passed
	settler *settler // of a Pipe, else nil

	over    bool  // nothing comes any more,
	err     error // because of this; nil: the end
	unsaved error // a save failed and the loop ends with this
}

// clean is the end of the records from at on that decoded.
func (l *loop[T]) clean() int {
	if len(l.cur.bad) > 0 {
		return l.cur.bad[0].at
	}
	return len(l.cur.recs)
}

// next is the number of the next record.
func (l *loop[T]) next() uint64 { return l.cur.first + uint64(l.at) }

// ready makes cur.recs[at] a record that decoded, doing what is due on the way. It returns false when nothing comes any
// more, with l.over and the reason, and when nothing has come by until, unless that is zero. Any other error ends the loop
// at once. It may be called again after the end and says the same.
func (l *loop[T]) ready(ctx context.Context, until time.Time) (bool, error) {
	for {
		if l.over {
			return false, l.err
		}
		if err := ctx.Err(); err != nil {
			return false, err
		}
		// Nothing is in hand here: the caller has asked for the next record. So no save can overtake, and undo, what the
		// loop's body stores for one in hand.
		if l.run.due() {
			if err := l.tidy(ctx); err != nil {
				return false, err
			}
		}
		if l.at < l.clean() {
			return true, nil
		}
		if l.at < len(l.cur.recs) {
			if err := l.skipPoison(ctx); err != nil {
				return false, l.end(err)
			}
			continue
		}
		ch, err := l.take(ctx, until)
		if err != nil || ch == nil {
			return false, err
		}
		if ch.last {
			// cur stays: its last record may still be waited for, by finish.
			return false, l.end(ch.err)
		}
		if err := l.enter(ctx, ch); err != nil {
			return false, err
		}
	}
}

// end keeps why nothing comes any more: a batch that was begun is handed out before it is said.
func (l *loop[T]) end(err error) error {
	l.over, l.err = true, err
	return err
}

// take receives the next chunk, decoded; nil when there is none by until.
func (l *loop[T]) take(ctx context.Context, until time.Time) (*chunk[T], error) {
	// What is there comes before all else: a select takes any of what is ready, and a batch would be cut short at random
	// when its time is up.
	select {
	case ch := <-l.pipe.queue:
		return l.received(ctx, ch)
	default:
	}
	var late <-chan time.Time
	if !until.IsZero() {
		left := time.Until(until)
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
			return l.received(ctx, ch)
		case <-l.run.wake:
			if l.run.due() {
				if err := l.tidy(ctx); err != nil {
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

// received waits until ch is decoded.
func (l *loop[T]) received(ctx context.Context, ch *chunk[T]) (*chunk[T], error) {
	l.got++
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

// starved: reading has stopped for want of room and all that was read is here. A batch that waits for more holds the
// room itself, so nothing comes before it is handed out.
func (l *loop[T]) starved() bool {
	return l.run.track.budget.full.Load() && l.got == l.pipe.handed.Load()
}

// enter goes on with ch.
func (l *loop[T]) enter(ctx context.Context, ch *chunk[T]) error {
	if ch.start != "" {
		// Saved before anything of it is handed out: a consumer killed in its first record must not begin at a later
		// tail next time.
		l.run.track.pin(ch.start)
		if err := l.save(ctx); err != nil {
			return err
		}
	}
	if len(ch.recs) == 0 {
		l.run.track.extend(ch.next)
		return nil
	}
	l.run.track.push(span{first: ch.first, recs: ch.recs, next: ch.next, bytes: ch.bytes})
	l.cur, l.at = ch, 0
	return nil
}

// pass leaves the record at hand behind: there is nothing to do about it.
func (l *loop[T]) pass() {
	switch seq := l.next(); {
	case l.run.mode == byAck:
		l.run.track.mark(seq)
	case l.run.mode == piped:
		l.settler.push(owed{seq: seq, offset: l.cur.recs[l.at].Offset, receipt: producer.Skip}) // done in its turn
	case l.held == 0:
		l.run.track.reach(seq + 1)
	default: // it lies behind records that are not handed out yet, and is done with them
	}
	l.at++
}

// tidy does what is due between two records.
func (l *loop[T]) tidy(ctx context.Context) error {
	// The timer starts again after the save and not at the tick, so that a store slower than the interval is not all
	// that the loop does.
	ticked := l.run.tick.Swap(false)
	err := l.save(ctx)
	if ticked {
		l.timer.Reset(l.c.cfg.interval)
	}
	return err
}

// save is a save in the middle of the loop. One that failed for good, or for as long as the policy has patience, ends
// it: to go on would be to do work that a restart repeats without bound.
func (l *loop[T]) save(ctx context.Context) error {
	err := l.run.save(ctx)
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return ctx.Err() // interrupted, not failed; the final save says how it stands
	}
	l.unsaved = fmt.Errorf("consumer: checkpoint: %w", err)
	return l.unsaved
}
