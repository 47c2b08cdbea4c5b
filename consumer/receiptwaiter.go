package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/producer"
)

// An awaited is a record that Pipe has handed on, with the receipt that decides when the record is done. With the
// receipt producer.Skip there is nothing to wait for.
type awaited struct {
	seq     uint64
	offset  backend.Offset
	receipt producer.Receipt
}

// A receiptWaiter waits for the receipts of a Pipe, in the order in which Pipe handed the records on. Because of this
// order the low-water mark is a simple count: a receipt that becomes durable early has no effect while a receipt before
// it is open.
//
// One goroutine (waitAll) waits. The loop adds records with push, and ends the goroutine with drain or abandon.
type receiptWaiter struct {
	run     *run
	letters letterbox // nil: a record that the destination refuses ends the Pipe
	logger  *slog.Logger

	cancel context.CancelFunc // ends the waits of the goroutine
	failed context.CancelFunc // tells the loop that a receipt failed, and ends the ctx of f
	wake   chan struct{}      // holds one token: queue or closed has changed
	done   chan struct{}      // closed when the goroutine has ended
	err    error              // why a receipt failed; may be read after failed was called and done is closed

	mu     sync.Mutex // guards queue and closed
	queue  []awaited
	closed bool // push will not be called again
}

// startReceiptWaiter starts the goroutine of a receiptWaiter. The goroutine lives on when ctx is over, until drain or
// abandon: receipts of records that were handed on are worth waiting for after a cancelled ctx.
func startReceiptWaiter(ctx context.Context, r *run, cfg *config, failed context.CancelFunc) *receiptWaiter {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &receiptWaiter{
		run: r, letters: cfg.letters, logger: cfg.logger,
		cancel: cancel, failed: failed, wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go s.waitAll(ctx)
	return s
}

// push adds a record to wait for. It never blocks: BufferBytes bounds the number of records that are not done.
func (s *receiptWaiter) push(a awaited) {
	s.mu.Lock()
	s.queue = append(s.queue, a)
	s.mu.Unlock()
	s.signal()
}

// signal wakes the goroutine. One token is enough, because the goroutine looks at queue and closed each time.
func (s *receiptWaiter) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// waitAll is the goroutine: it waits for one receipt after the other and moves the low-water mark, until queue is empty
// and closed, a receipt fails, or ctx is over.
func (s *receiptWaiter) waitAll(ctx context.Context) {
	defer close(s.done)
	var batch []awaited
	for {
		// Exchange whole queues under the lock. A record then costs one append instead of one send on a channel. clear
		// makes sure that the array of the old queue does not keep its receipts in memory.
		clear(batch)
		s.mu.Lock()
		batch, s.queue = s.queue, batch[:0]
		closed := s.closed
		s.mu.Unlock()
		if len(batch) == 0 {
			if closed {
				return
			}
			select {
			case <-s.wake:
			case <-ctx.Done():
				return
			}
		}
		for at := 0; at < len(batch); {
			n, err := s.waitNext(ctx, batch[at:])
			if err != nil {
				// When ctx is over, drain or abandon stopped the wait; no receipt has failed.
				if ctx.Err() == nil {
					s.err = fmt.Errorf("consumer: pipe: %w", err)
					s.failed()
				}
				return
			}
			at += n
			s.run.track.doneBelow(batch[at-1].seq + 1)
			s.run.lowMoved()
		}
	}
}

// waitNext waits until the first of the records is done. It returns how many records are done: one, or several records
// that became dead letters together.
func (s *receiptWaiter) waitNext(ctx context.Context, records []awaited) (int, error) {
	first := records[0]
	if first.receipt == producer.Skip {
		return 1, nil
	}
	// Wait tells the producer that somebody waits. The producer then sends the batch of the oldest record at once,
	// instead of waiting for its Linger while nothing else is in flight.
	_, err := first.receipt.Wait(ctx)
	switch {
	case err == nil:
		return 1, nil
	case ctx.Err() == nil && s.letters != nil && refused(err):
		return s.sendLetters(ctx, records, err)
	}
	return 0, fmt.Errorf("receipt of the record at %q: %w", first.offset, err)
}

// refused reports whether err says that the destination will never store the record.
func refused(err error) bool {
	return errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)
}

// sendLetters sends the first of the records to the dead letters, because the destination refused that record with err.
// It adds the records that follow directly and are known to be refused too, because each Send costs a round trip. It
// returns how many records became dead letters. When Send fails, none of the records is done.
func (s *receiptWaiter) sendLetters(ctx context.Context, records []awaited, err error) (n int, _ error) {
	var letters []DeadLetter
	for refused(err) {
		r := s.run.track.record(records[n].seq)
		letters = append(letters, DeadLetter{Value: r.Value, Headers: r.Headers, Offset: r.Offset, Time: r.Time, Consumer: s.run.key, Cause: err.Error()})
		s.logger.WarnContext(ctx, "consumer: pipe: the destination refused a record, so the record becomes a dead letter",
			"offset", r.Offset, "err", err)
		if n++; n == len(records) || n == chunkRecords {
			break
		}
		err = failedAlready(records[n].receipt)
	}
	if err := s.letters.Send(ctx, letters...); err != nil {
		return 0, fmt.Errorf("send the dead letter of the record at %q: %w", records[0].offset, err)
	}
	s.run.counters.letters.Add(uint64(n))
	return n, nil
}

// failedAlready returns the error of a receipt that has failed. It returns nil when the receipt is durable or still
// open, and never waits.
func failedAlready(r producer.Receipt) error {
	select {
	case <-r.Done():
		_, err := r.Wait(context.Background()) // returns at once, because Done is closed
		return err
	default:
		return nil
	}
}

// drain waits up to d for the receipts of all records that were pushed. It reports whether no receipt is open any more;
// a receipt that failed is not open. After d it abandons the rest.
func (s *receiptWaiter) drain(d time.Duration) bool {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.signal()
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-s.done:
		return true
	case <-t.C:
		s.abandon()
		return false
	}
}

// abandon ends the goroutine without waiting for receipts. It may be called several times.
func (s *receiptWaiter) abandon() {
	s.cancel()
	<-s.done
}
