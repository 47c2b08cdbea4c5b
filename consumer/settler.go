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

// owed is a record whose receipt is waited for; producer.Skip owes nothing.
type owed struct {
	seq     uint64
	offset  backend.Offset
	receipt producer.Receipt
}

// A settler waits for the receipts of a Pipe, in the order given, which makes the low-water mark a count: a receipt that
// is durable early moves nothing while one before it is open.
type settler struct {
	run     *run
	letters letterbox // nil: a record that is refused ends the Pipe
	logger  *slog.Logger

	cancel context.CancelFunc // of its waits
	failed context.CancelFunc // tells the loop
	wake   chan struct{}      // one token: queue or closed has changed
	done   chan struct{}      // closed when it has ended
	err    error              // once done is closed, and once failed was called

	mu     sync.Mutex
	queue  []owed
	closed bool // nothing more is pushed
}

// startSettler starts one that outlives ctx, until drain or abandon.
func startSettler(ctx context.Context, r *run, cfg *config, failed context.CancelFunc) *settler {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &settler{
		run: r, letters: cfg.letters, logger: cfg.logger,
		cancel: cancel, failed: failed, wake: make(chan struct{}, 1), done: make(chan struct{}),
	}
	go s.settle(ctx)
	return s
}

func (s *settler) push(o owed) {
	s.mu.Lock()
	s.queue = append(s.queue, o)
	s.mu.Unlock()
	s.signal()
}

func (s *settler) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *settler) settle(ctx context.Context) {
	defer close(s.done)
	var batch []owed
	for {
		// Whole queues change hands, so that a record costs an append and not a channel.
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
			n, err := s.next(ctx, batch[at:])
			if err != nil {
				if ctx.Err() == nil {
					s.err = fmt.Errorf("consumer: pipe: %w", err)
					s.failed()
				}
				return
			}
			at += n
			s.run.track.reach(batch[at-1].seq + 1)
			s.run.moved()
		}
	}
}

// next waits until the first of the records is done, and returns how many are.
func (s *settler) next(ctx context.Context, records []owed) (int, error) {
	first := records[0]
	if first.receipt == producer.Skip {
		return 1, nil
	}
	// Wait tells the producer that somebody waits, so the batch of the oldest record does not linger while nothing else is
	// under way.
	_, err := first.receipt.Wait(ctx)
	switch {
	case err == nil:
		return 1, nil
	case ctx.Err() == nil && s.letters != nil && refused(err):
		return s.giveUp(ctx, records, err)
	}
	return 0, fmt.Errorf("receipt of the record at %q: %w", first.offset, err)
}

// refused reports whether the destination will never take the record.
func refused(err error) bool {
	return errors.Is(err, backend.ErrRejected) || errors.Is(err, backend.ErrTooLarge)
}

// giveUp sends the first of the records to the dead letters, because the destination refused it with err, and with it
// those that follow and are known to be refused too: a letter costs a round trip. It returns how many they are.
func (s *settler) giveUp(ctx context.Context, records []owed, err error) (n int, _ error) {
	var letters []DeadLetter
	for refused(err) {
		r := s.run.track.record(records[n].seq)
		letters = append(letters, DeadLetter{Value: r.Value, Headers: r.Headers, Offset: r.Offset, Cause: err.Error()})
		s.logger.WarnContext(ctx, "consumer: pipe: the destination refused a record, which becomes a dead letter",
			"offset", r.Offset, "err", err)
		if n++; n == len(records) || n == chunkRecords {
			break
		}
		err = known(records[n].receipt)
	}
	if err := s.letters.Send(ctx, letters...); err != nil {
		return 0, fmt.Errorf("dead letter for the record at %q: %w", records[0].offset, err)
	}
	s.run.counters.letters.Add(uint64(n))
	return n, nil
}

// known returns why the record failed, nil while that is open.
func known(r producer.Receipt) error {
	select {
	case <-r.Done():
		_, err := r.Wait(context.Background()) // returns at once
		return err
	default:
		return nil
	}
}

// drain waits up to d for what was pushed. It reports whether nothing is open any more, a failure included.
func (s *settler) drain(d time.Duration) bool {
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

// abandon ends it without waiting for receipts.
func (s *settler) abandon() {
	s.cancel()
	<-s.done
}
