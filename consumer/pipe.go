package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/producer"
)

// Pipe hands every record to f, in order and one at a time, and marks it done when the receipt that f returned is
// durable. f returns the receipt of Enqueue, or [producer.Skip] for a record that it filters out. A zero receipt without an
// error ends Pipe with an error before the record: it comes from an error of Enqueue that f has overlooked, and to pass on
// would lose the record. Pipe does not wait for one receipt before it hands on the next record: up to [BufferBytes] of records, read ahead or waiting for their receipts, are on their way, and what
// f enqueues is bounded by the producer's own buffer.
//
// The checkpoint follows the low-water mark: it passes a record when that and all before it are durable.
//
// With [DeadLetters], a record that the destination refuses ([backend.ErrRejected] or [backend.ErrTooLarge], from its
// receipt or from f) becomes a dead letter and is done when that is durable.
//
// Pipe returns nil at the end of a closed stream or, with [StopAtTail], at the tail, when all receipts are durable. Any
// other receipt that fails ends it with the offset of its record, and so does an error of f; no later record is handed on.
// The ctx that f is given is over by then. When f or ctx ends it, the receipts given so far are waited for, up to
// [DrainTimeout], and the place is saved before it returns f's error or ctx's.
func (c *Consumer[T]) Pipe(ctx context.Context, f func(context.Context, Message[T]) (producer.Receipt, error)) error {
	l, err := c.begin(ctx, piped)
	if err != nil {
		return err
	}
	left := true // by a panic of f
	defer func() {
		if left {
			l.leave(ctx)
		}
	}()
	err = l.pipeAll(ctx, f)
	left = false
	return l.settle(ctx, err)
}

func (l *loop[T]) pipeAll(ctx context.Context, f func(context.Context, Message[T]) (producer.Receipt, error)) error {
	handing, stop := context.WithCancel(ctx)
	defer stop()
	s := startSettler(ctx, l.run, &l.c.cfg, stop)
	defer s.abandon()
	l.settler = s

	err := l.handOn(handing, f)
	if err == nil {
		return nil // finish saw the last receipt
	}
	broken := handing.Err() != nil && ctx.Err() == nil // a receipt failed, and err comes of that
	// What was handed on is as good as stored: to leave now would make most of it come twice.
	if !s.drain(l.c.cfg.drainTimeout) {
		l.c.cfg.logger.WarnContext(ctx, "consumer: pipe: receipts are still open; their records come again",
			"waited", l.c.cfg.drainTimeout)
	}
	ended := ctx.Err() != nil && errors.Is(err, ctx.Err()) // f may have put ctx's error in words of its own
	switch {
	case s.err != nil && (broken || ended):
		return s.err // alone: who ignores a cancelled ctx must not overlook it
	case s.err != nil:
		return errors.Join(s.err, err)
	case ended:
		return ctx.Err()
	}
	return err
}

// handOn returns nil once the stream is over and everything is done.
func (l *loop[T]) handOn(ctx context.Context, f func(context.Context, Message[T]) (producer.Receipt, error)) error {
	for {
		if ok, err := l.ready(ctx, time.Time{}); err != nil {
			return err
		} else if !ok {
			return l.finish(ctx)
		}
		m := Message[T]{Record: l.cur.recs[l.at], Value: l.cur.values[l.at], run: l.run, seq: l.next()}
		receipt, err := f(ctx, m)
		if err != nil && l.c.cfg.posted && refused(err) {
			receipt, err = producer.Resolved("", err), nil // Enqueue refused it; it becomes a dead letter in its turn
		}
		if err != nil {
			return fmt.Errorf("consumer: pipe: record at %q: %w", m.Offset, err)
		}
		if receipt == (producer.Receipt{}) {
			return fmt.Errorf("consumer: pipe: record at %q: f returned a zero receipt and no error: "+
				"return the receipt and the error of Enqueue, or producer.Skip", m.Offset)
		}
		l.settler.push(owed{seq: m.seq, offset: m.Offset, receipt: receipt})
		l.at++ // after f: an error leaves the record at hand, and a panic too
	}
}
