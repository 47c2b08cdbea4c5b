package consumer

import (
	"context"
	"iter"
	"time"
)

// Messages follows the stream, one record at a time. A record is done when the loop asks for the next one, unless
// [ManualAck] was given. An error is final and comes once; see the documentation of the package.
//
// Always range over both values: for m, err := range c.Messages(ctx). An error comes with a zero Message, which has a
// zero Value and an empty Offset. A loop over m alone would run its body once more, for a record that does not exist,
// and would never learn why the loop has ended. Ack of a zero Message does nothing and its Checkpoint is empty.
func (c *Consumer[T]) Messages(ctx context.Context) iter.Seq2[Message[T], error] {
	return func(yield func(Message[T], error) bool) {
		iterate(ctx, c, yield, func(l *loop[T]) (bool, error) { return l.messages(ctx, yield) })
	}
}

// iterate runs a loop that yields records, and cleans up after it, whatever ends the loop. each hands the records out,
// and reports whether the body left the loop.
func iterate[T, E any](ctx context.Context, c *Consumer[T], yield func(E, error) bool, each func(*loop[T]) (bool, error)) {
	var none E
	how := inOrder
	if c.cfg.manual {
		how = byAck
	}
	l, err := c.beginLoop(ctx, how)
	if err != nil {
		yield(none, err)
		return
	}
	// The body may also leave by a panic or by runtime.Goexit. Then each does not return, and left stays true.
	left := true
	defer func() {
		if left {
			l.closeAfterBreak(ctx)
		}
	}()
	if left, err = each(l); left {
		return
	}
	if err := l.closeWith(ctx, err); err != nil {
		yield(none, err)
	}
}

// messages hands out records until the end, and reports whether the body left the loop.
func (l *loop[T]) messages(ctx context.Context, yield func(Message[T], error) bool) (left bool, err error) {
	doneByNext := l.run.mode == inOrder
	stopped := ctx.Done()
	for {
		// ready is called once for each run of records that decoded, or when a save is due. The inner loop below is
		// what a record costs.
		if ok, err := l.ready(ctx, time.Time{}); err != nil {
			return false, err
		} else if !ok {
			return false, l.waitAllDone(ctx)
		}
		ch, end, goOn := l.cur, l.decodedEnd(), true
		for goOn && l.at < end {
			i := l.at
			l.at++
			if !yield(Message[T]{Record: ch.recs[i], Value: ch.values[i], run: l.run, seq: ch.first + uint64(i)}, nil) {
				return true, nil
			}
			// The body has asked for the next record, so this one is done.
			if doneByNext {
				l.run.track.doneBelow(ch.first + uint64(i) + 1)
			}
			select {
			case <-stopped:
				goOn = false
			default:
				goOn = !l.run.saveDue() && !l.hold.Over()
			}
		}
	}
}
