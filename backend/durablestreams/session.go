package durablestreams

import (
	"context"
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
)

// A session has each batch on its way in a request of its own, and a goroutine with it.
type session struct {
	appender *appender
	life     context.Context
	cancel   context.CancelCauseFunc
	room     chan struct{} // one token for each batch taken that Recv has not returned
	wake     chan struct{} // one token: the head of the queue or stop changed
	turn     chan struct{} // one token: the next request may have got its turn
	requests sync.WaitGroup

	mu    sync.Mutex
	next  uint64
	queue []*batch // taken and not returned by Recv, in order
	away  int      // of those, how many are not done
	stop  error    // why nothing more is taken; what is in the queue still comes to its end
	over  error    // what Recv has said last
}

// A batch is one request, sent as often as the server needs to take it in its turn.
type batch struct {
	seq  uint64
	body []byte
	prev *batch // the one before it, when that was on its way
	sent bool   // in this session, under the present epoch
	left bool   // its request was written to a connection, and not refused for coming too early; under the session's lock

	done  chan struct{} // closed when what follows is set
	next  backend.Offset
	err   error
	renew bool // the batches that take the place of this one and those behind it need an epoch of their own
}

func (s *session) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	if err := s.admit(ctx, seq, recs); err != nil {
		return err
	}
	select {
	case s.room <- struct{}{}:
	case <-ctx.Done():
		return s.refuse(s.failed("send", fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())))
	case <-s.life.Done():
		return s.refuse(context.Cause(s.life))
	}
	b := &batch{seq: seq, done: make(chan struct{})}
	b.body = s.appender.encoding.body(s.appender.buffer(), recs) // the records are not needed any longer
	err := s.await(ctx)

	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		s.stop = err
	}
	if s.stop != nil {
		<-s.room
		s.appender.reuse(b.body)
		signal(s.wake)
		return s.stop
	}
	if n := len(s.queue); n > 0 {
		b.prev = s.queue[n-1]
	}
	s.queue = append(s.queue, b)
	s.next++
	s.away++
	s.requests.Add(1)
	go s.run(b)
	return nil
}

// admit checks what can be checked without waiting.
func (s *session) admit(ctx context.Context, seq uint64, recs []backend.Record) error {
	s.mu.Lock()
	next, stop := s.next, s.stop
	s.mu.Unlock()
	switch {
	case stop != nil:
		return stop
	case seq != next:
		return s.refuse(s.failed("send", fmt.Errorf("seq %d where %d is next: %w", seq, next, backend.ErrConflict)))
	case ctx.Err() != nil:
		return s.refuse(s.failed("send", fmt.Errorf("%w: %w", backend.ErrTransient, ctx.Err())))
	case len(recs) == 0:
		return s.refuse(s.failed("send", fmt.Errorf("%w: a batch of no records", backend.ErrRejected)))
	}
	limit, sum := s.appender.stream.config.batchBytes, 0
	for i := range recs {
		n := s.appender.encoding.size(&recs[i])
		if sum += n; n > limit {
			err := &backend.RecordError{Index: i, Err: fmt.Errorf("%w: %d bytes, the limit RecordBytes is %d", backend.ErrTooLarge, n, limit)}
			return s.refuse(s.failed("send", err))
		}
	}
	if sum > limit {
		return s.refuse(s.failed("send", fmt.Errorf("%w: a batch of %d bytes, the limit BatchBytes is %d", backend.ErrTooLarge, sum, limit)))
	}
	return nil
}

// refuse ends the taking of batches. The first reason stays.
func (s *session) refuse(reason error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stop == nil {
		s.stop = reason
	}
	signal(s.wake)
	return s.stop
}

func (s *session) run(b *batch) {
	defer s.requests.Done()
	b.next, b.err = s.deliver(b)
	s.appender.reuse(b.body)
	b.body = nil
	s.mu.Lock()
	s.away-- // in one with done, or Recv could empty the queue while something seems to be under way
	close(b.done)
	s.mu.Unlock()
	signal(s.turn)
	signal(s.wake)
}

func (s *session) Recv(ctx context.Context) (backend.Ack, error) {
	for {
		if ack, ok, err := s.poll(); ok || err != nil {
			return ack, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			s.leave(ctx.Err())
		}
	}
}

func (s *session) poll() (ack backend.Ack, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return ack, false, s.over
	}
	if len(s.queue) == 0 {
		s.over = s.stop
		return ack, false, s.over
	}
	b := s.queue[0]
	select {
	case <-b.done:
	default:
		return ack, false, nil
	}
	if b.err != nil {
		// It speaks of those behind it as well. They are stored in order or not at all, so where this one is known not to
		// be stored, they are not either.
		s.over = b.err
		if s.stop == nil {
			s.stop = b.err
		}
		s.cancel(b.err) // before the epoch changes, so that nothing old is sent under the new one
		if b.renew {
			s.appender.fresh(b.seq)
		}
		return ack, false, s.over
	}
	s.queue[0] = nil
	s.queue = s.queue[1:]
	<-s.room
	a := s.appender
	a.mu.Lock()
	a.acked = b.seq + 1
	a.mu.Unlock()
	return backend.Ack{Seq: b.seq, Next: b.next}, true, nil
}

// leave ends the session because the caller of Recv did.
func (s *session) leave(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over != nil {
		return
	}
	s.over = s.failed("recv", fmt.Errorf("%w: %w", backend.ErrTransient, cause))
	if len(s.queue) > 0 {
		s.over = s.failed("recv", fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, cause))
	}
	s.stop = s.over
	s.cancel(s.over)
}

func (s *session) Close() error {
	s.mu.Lock()
	err := s.failed("close", backend.ErrClosed)
	s.over, s.stop = err, err
	s.mu.Unlock()
	s.cancel(err)
	signal(s.wake)
	s.requests.Wait()
	return nil
}

func (s *session) failed(op string, err error) error { return s.appender.stream.failed(op, err) }

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
