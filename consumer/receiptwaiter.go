package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/producer"
)

// A receiptWaiter waits for the receipts of a Pipe, in the order in which Pipe handed the records on. Because of this
// order the low-water mark is a simple count: an early durable receipt has no effect while an earlier receipt is open.
// Every record of the loop has a receipt, producer.Skip where there is nothing to wait for. Therefore the number of a
// record follows from its place among the receipts.
//
// One goroutine (waitToEnd) waits. The loop adds receipts with push, and ends the goroutine with drain or abandon.
type receiptWaiter struct {
	run     *run
	letters letterbox // nil: a record that the destination refuses ends the Pipe
	logger  *slog.Logger

	cancel context.CancelFunc // ends the waits of the goroutine
	failed context.CancelFunc // tells the loop that a receipt failed, and ends the ctx of f
	wake   chan struct{}      // holds one token: there is a receipt, or closed has changed
	done   chan struct{}      // closed when the goroutine has ended
	err    error              // why a receipt failed; may be read after failed was called and done is closed

	newest *receiptBlock // receives the next receipt; the loop uses it alone
	pushed int           // number of receipts in newest; the loop uses it alone
	asleep atomic.Bool   // the goroutine waits for wake, or is about to
	closed atomic.Bool   // push will not be called again
	spare  atomic.Pointer[receiptBlock]
}

// A receiptBlock holds receipts in order. The loop writes a receipt and then counts the receipt in filled; the goroutine
// reads only counted receipts. Neither needs a lock: with a lock and a wake-up for every record, the hand-over was half
// of the time of a record.
type receiptBlock struct {
	receipts [chunkRecords]producer.Receipt
	filled   atomic.Int64
	next     *receiptBlock // set before the last receipt is counted
}

// startReceiptWaiter starts the goroutine of a receiptWaiter. The goroutine lives on when ctx is over, until drain or
// abandon: receipts of records that were handed on are worth waiting for after a cancelled ctx.
func startReceiptWaiter(ctx context.Context, r *run, cfg *config, failed context.CancelFunc) *receiptWaiter {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &receiptWaiter{
		run: r, letters: cfg.letters, logger: cfg.logger,
		cancel: cancel, failed: failed, wake: make(chan struct{}, 1), done: make(chan struct{}),
		newest: new(receiptBlock),
	}
	go s.waitToEnd(ctx, s.newest)
	return s
}

// push adds the receipt of the next record. It never blocks: BufferBytes bounds the number of records that are not done.
func (s *receiptWaiter) push(r producer.Receipt) {
	b := s.newest
	b.receipts[s.pushed] = r
	s.pushed++
	n := s.pushed
	if n == len(b.receipts) {
		if s.newest = s.spare.Swap(nil); s.newest == nil {
			s.newest = new(receiptBlock)
		}
		b.next, s.pushed = s.newest, 0
	}
	b.filled.Store(int64(n))
	// The goroutine stores asleep and then reads filled, in the opposite order. So at least one of the two notices the
	// other.
	if s.asleep.Load() {
		s.signal()
	}
}

// signal wakes the goroutine. One token is enough, because the goroutine looks at filled and closed each time.
func (s *receiptWaiter) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// waitToEnd is the goroutine. When the dead letters call runtime.Goexit, the goroutine ends before all receipts are durable, and the loop
// would wait for ever; so the loop ends.
func (s *receiptWaiter) waitToEnd(ctx context.Context, b *receiptBlock) {
	defer close(s.done)
	ended := false
	defer func() {
		if !ended {
			s.fail(errGoexit)
		}
	}()
	s.waitAll(ctx, b)
	ended = true
}

// fail ends the loop because of err.
func (s *receiptWaiter) fail(err error) {
	s.err = fmt.Errorf("consumer: pipe: %w", err)
	s.failed()
}

// waitAll waits for receipts and moves the low-water mark, until all receipts are durable and no further receipt comes, a receipt
// fails, or ctx is over.
func (s *receiptWaiter) waitAll(ctx context.Context, b *receiptBlock) {
	seq, at := uint64(0), 0 // of the next record: its number, and its place in b
	for {
		filled := int(b.filled.Load())
		if at == len(b.receipts) {
			used := b
			b, at = b.next, 0
			used.next = nil
			used.filled.Store(0)
			s.spare.Store(used)
			continue
		}
		if at == filled {
			if !s.awaitPush(ctx, b, at) {
				return
			}
			continue
		}
		n, err := s.waitFirst(ctx, b.receipts[at:filled], seq)
		if err != nil {
			// When ctx is over, drain or abandon stopped the wait; no receipt has failed.
			if ctx.Err() == nil {
				s.fail(err)
			}
			return
		}
		clear(b.receipts[at : at+n]) // a receipt keeps the memory of its batch
		at += n
		seq += uint64(n)
		s.run.track.doneBelow(seq)
		s.run.lowMoved()
	}
}

// awaitPush waits until b has more than n receipts. It returns false when no more come, or when ctx is over.
func (s *receiptWaiter) awaitPush(ctx context.Context, b *receiptBlock, n int) bool {
	s.asleep.Store(true)
	defer s.asleep.Store(false)
	for {
		closed := s.closed.Load() // before filled: the receipts before closed must be seen
		if int(b.filled.Load()) > n {
			return true
		}
		if closed {
			return false
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return false
		}
	}
}

// waitFirst waits until the record with the number seq is done, and returns how many records are done: all records known
// to be durable without a gap, or several records that became dead letters together.
func (s *receiptWaiter) waitFirst(ctx context.Context, receipts []producer.Receipt, seq uint64) (int, error) {
	// WaitFirst tells the producer that somebody waits. The producer then sends the batch of the oldest record at once,
	// instead of waiting for its Linger while nothing else is in flight.
	n, err := producer.WaitFirst(ctx, receipts)
	switch {
	case err == nil:
		return n, nil
	case ctx.Err() == nil && s.letters != nil && refused(err):
		return s.sendLetters(ctx, receipts, seq, err)
	}
	return 0, fmt.Errorf("receipt of the record at %q: %w", s.run.track.record(seq).Offset, err)
}

// refused reports whether err says that the destination will never store the record.
func refused(err error) bool {
	return errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)
}

// sendLetters sends the record with the number seq to the dead letters, because the destination refused the record with
// err. Each Send costs a round trip; therefore sendLetters adds the records directly behind that are known to be refused,
// too. sendLetters returns how many records became dead letters. When Send fails, none of the records is done.
func (s *receiptWaiter) sendLetters(ctx context.Context, receipts []producer.Receipt, seq uint64, err error) (n int, _ error) {
	var letters []DeadLetter
	for refused(err) {
		r := s.run.track.record(seq + uint64(n))
		letters = append(letters, deadLetter(&r, s.run.key, err))
		s.logger.WarnContext(ctx, "consumer: pipe: the destination refused a record, so the record becomes a dead letter",
			"offset", r.Offset, "err", err)
		if n++; n == len(receipts) {
			break
		}
		err = failedAlready(receipts[n])
	}
	if err := s.letters.Send(ctx, letters...); err != nil {
		return 0, fmt.Errorf("send the dead letter of the record at %q: %w", letters[0].Offset, err)
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

// drain waits up to d for all pushed receipts, and reports whether no receipt is open any more; a failed receipt is not
// open. After d drain abandons the rest.
func (s *receiptWaiter) drain(d time.Duration) bool {
	s.closed.Store(true)
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
