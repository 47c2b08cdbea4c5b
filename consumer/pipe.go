package consumer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/producer"
)

// Pipe hands every record to f, in order and one at a time. When the receipt of f is durable, Pipe marks the record done.
// f returns the receipt of Enqueue, or [producer.Skip] for a record that f filters out. A zero receipt without an error
// ends Pipe with an error before the record: f has dropped an error of Enqueue, and to go on would lose the record.
//
// Pipe does not wait for a receipt before it hands on the next record. Up to [BufferBytes] of records are read ahead or
// wait for their receipts, and the producer's own buffer bounds what f enqueues.
//
// The checkpoint follows the low-water mark: the checkpoint passes a record when the record and all earlier records are
// durable.
//
// With [DeadLetters], a record that the destination refuses becomes a dead letter, and is done when the dead letter is
// durable. A refusal is [backend.ErrRejected] or [backend.ErrTooLarge], from the receipt or from f.
//
// Pipe returns nil at the end of a closed stream or, with [StopAtTail], at the tail, when all receipts are durable. Any
// other failed receipt, and any other error of f, ends Pipe with an error that names the offset of the record. No later
// record is handed on, and the ctx of f ends. When f or ctx ends Pipe, Pipe waits up to [DrainTimeout] for the open
// receipts, saves the place, and returns the error of f or of ctx.
func (c *Consumer[T]) Pipe(ctx context.Context, f func(context.Context, Message[T]) (producer.Receipt, error)) error {
	if f == nil {
		return errors.New("consumer: pipe: the function is nil")
	}
	l, err := c.beginLoop(ctx, piped)
	if err != nil {
		return err
	}
	// A panic of f leaves the loop too.
	left := true
	defer func() {
		if left {
			l.closeAfterBreak(ctx)
		}
	}()
	err = l.pipeAll(ctx, f)
	left = false
	return l.closeWith(ctx, err)
}

// pipeAll hands all records on and then waits for their receipts. It returns why the Pipe ends.
func (l *loop[T]) pipeAll(ctx context.Context, f func(context.Context, Message[T]) (producer.Receipt, error)) error {
	handing, stop := context.WithCancel(ctx)
	defer stop()
	s := startReceiptWaiter(ctx, l.run, &l.c.cfg, stop)
	defer s.abandon()
	l.receipts = s

	err := l.handOn(handing, f)
	if err == nil {
		// handOn has waited in waitAllDone for the last receipt.
		return nil
	}
	// A receipt failed and ended the ctx of f, so err is only a consequence.
	broken := handing.Err() != nil && ctx.Err() == nil
	// Most records that were handed on will be durable soon. To leave now would make most of them come twice.
	if !s.drain(l.c.cfg.drainTimeout) {
		l.c.cfg.logger.WarnContext(ctx, "consumer: pipe: some receipts are still open, so their records will be delivered again",
			"waited", l.c.cfg.drainTimeout)
	}
	// f may have wrapped the error of ctx in an error of its own.
	ended := ctx.Err() != nil && errors.Is(err, ctx.Err())
	switch {
	case s.err != nil && (broken || ended):
		// The error of the receipt is returned alone. Joined with the error of ctx, it would be dropped by callers
		// that ignore a cancelled ctx.
		return s.err
	case s.err != nil:
		return errors.Join(s.err, err)
	case ended:
		return ctx.Err()
	}
	return err
}

// handOn hands records to f. It returns nil when the stream has ended and all records are done.
func (l *loop[T]) handOn(ctx context.Context, f func(context.Context, Message[T]) (producer.Receipt, error)) error {
	stopped := ctx.Done()
	for {
		// As in messages, ready is called once for each run of records that decoded, or when a save is due.
		if ok, err := l.ready(ctx, time.Time{}); err != nil {
			return err
		} else if !ok {
			return l.waitAllDone(ctx)
		}
		ch, end, goOn := l.cur, l.decodedEnd(), true
		for goOn && l.at < end {
			i := l.at
			receipt, err := f(ctx, Message[T]{Record: ch.recs[i], Value: ch.values[i], run: l.run, seq: ch.first + uint64(i)})
			if err != nil || receipt == (producer.Receipt{}) {
				if receipt, err = l.withoutReceipt(receipt, err); err != nil {
					return fmt.Errorf("consumer: pipe: record at %q: %w", ch.recs[i].Offset, err)
				}
			}
			l.receipts.push(receipt)
			// Move on after f has returned. When f fails or panics, the record is still at hand and not done.
			l.at++
			select {
			case <-stopped:
				goOn = false
			default:
				goOn = !l.run.saveDue() && !l.hold.Over()
			}
		}
	}
}

// withoutReceipt decides what follows when f returned an error or a zero receipt: another receipt, or the error that ends the
// Pipe.
func (l *loop[T]) withoutReceipt(receipt producer.Receipt, err error) (producer.Receipt, error) {
	switch {
	case err != nil && l.c.cfg.hasLetters && refused(err):
		// Enqueue refused the record. With a receipt that has failed already, the record becomes a dead letter in its
		// turn.
		return producer.Resolved("", err), nil
	case err != nil:
		return receipt, err
	}
	return receipt, errors.New("f returned a zero receipt and no error: return the receipt and the error of Enqueue, or producer.Skip")
}
