package consumer

import (
	"context"
	"fmt"
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
	run    *run
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
func startSettler(ctx context.Context, r *run, failed context.CancelFunc) *settler {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &settler{run: r, cancel: cancel, failed: failed, wake: make(chan struct{}, 1), done: make(chan struct{})}
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
		for _, o := range batch {
			if o.receipt != producer.Skip {
				// Wait tells the producer that somebody waits, so the batch of the oldest record does not linger while
				// nothing else is under way.
				if _, err := o.receipt.Wait(ctx); err != nil {
					if ctx.Err() == nil {
						s.err = fmt.Errorf("consumer: pipe: receipt of the record at %q: %w", o.offset, err)
						s.failed()
					}
					return
				}
			}
			s.run.track.reach(o.seq + 1)
			s.run.moved()
		}
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
