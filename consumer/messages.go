package consumer

import (
	"context"
	"iter"
	"time"
)

// Messages follows the stream, a record at a time. A record is done when the loop asks for the next one, unless
// [ManualAck] was given. An error is final and comes once; see the package's documentation.
//
// Always range over both: for m, err := range c.Messages(ctx). An error comes with a zero Message: a loop over m alone
// runs its body once more, on a record that does not exist, with a zero Value and an empty Offset, and never learns why
// the loop has ended. Its Ack does nothing and its Checkpoint is empty.
func (c *Consumer[T]) Messages(ctx context.Context) iter.Seq2[Message[T], error] {
	return func(yield func(Message[T], error) bool) {
		over(ctx, c, yield, func(l *loop[T]) (bool, error) { return l.messages(ctx, yield) })
	}
}

// over runs a loop that yields, and what must happen however it ends. each reports whether the body left it.
func over[T, E any](ctx context.Context, c *Consumer[T], yield func(E, error) bool, each func(*loop[T]) (bool, error)) {
	var none E
	l, err := c.begin(ctx, c.acks())
	if err != nil {
		yield(none, err)
		return
	}
	left := true // by a panic or Goexit too
	defer func() {
		if left {
			l.leave(ctx)
		}
	}()
	if left, err = each(l); left {
		return
	}
	if err := l.settle(ctx, err); err != nil {
		yield(none, err)
	}
}

func (c *Consumer[T]) acks() mode {
	if c.cfg.manual {
		return byAck
	}
	return inOrder
}

func (l *loop[T]) messages(ctx context.Context, yield func(Message[T], error) bool) (left bool, err error) {
	inOrder := l.run.mode == inOrder
	stopped := ctx.Done()
	for {
		// Once for each run of records that decoded, or when something is due; the loop below is what a record costs.
		if ok, err := l.ready(ctx, time.Time{}); err != nil {
			return false, err
		} else if !ok {
			return false, l.finish(ctx)
		}
		ch, clean, open := l.cur, l.clean(), true
		for open && l.at < clean {
			i := l.at
			l.at++
			if !yield(Message[T]{Record: ch.recs[i], Value: ch.values[i], run: l.run, seq: ch.first + uint64(i)}, nil) {
				return true, nil
			}
			if inOrder { // the body has asked for the next
				l.run.track.reach(ch.first + uint64(i) + 1)
			}
			select {
			case <-stopped:
				open = false
			default:
				open = !l.run.due()
			}
		}
	}
}
