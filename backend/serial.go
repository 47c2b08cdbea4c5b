package backend

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Serial makes a Sink of a store that has one blocking call an append: SQL inserts, a file, an HTTP POST. Send makes the
// call in its own goroutine, so one batch is on its way while the producer fills the next.
//
// appendBatch stores recs and returns when they are durable; the Seq of the Ack it returns is ignored. It must return
// soon after ctx ends and may not keep recs. An error that wraps neither [ErrTransient], [ErrIndeterminate] nor another
// sentinel of this package is fatal, with one exception: a bare context error is [ErrIndeterminate], because the call
// had begun. A store that knows a resend by its seq may deduplicate with it; seq runs per Appender, so several
// producers on one Sink need an identity of their own.
func Serial(l Limits, appendBatch func(ctx context.Context, seq uint64, recs []Record) (Ack, error)) Sink {
	return &serialSink{limits: l, appendBatch: appendBatch}
}

type serialSink struct {
	limits      Limits
	appendBatch func(context.Context, uint64, []Record) (Ack, error)
}

func (s *serialSink) NewAppender(Format) Appender { return &serialAppender{sink: s} }

type serialAppender struct {
	sink *serialSink

	mu    sync.Mutex
	acked uint64 // seqs below it were returned by Recv
}

func (a *serialAppender) Limits() Limits { return a.sink.limits }

func (a *serialAppender) Open(ctx context.Context) (Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("serial: open: %w: %w", ErrTransient, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return &serialSession{appender: a, next: a.acked, abort: func() {}, wake: make(chan struct{}, 1)}, nil
}

type serialSession struct {
	appender *serialAppender
	calls    sync.WaitGroup // the append under way
	wake     chan struct{}  // one token: acks or reason changed

	mu     sync.Mutex
	abort  context.CancelFunc // ends the append under way
	next   uint64             // the seq that Send expects
	acks   []Ack
	reason error // why nothing more is taken
	over   bool  // Recv has said why, or Close was called
}

func (s *serialSession) Send(ctx context.Context, seq uint64, recs []Record) error {
	s.mu.Lock()
	if s.reason == nil && seq != s.next {
		s.reason = fmt.Errorf("serial: seq %d where %d is next: %w", seq, s.next, ErrConflict)
	}
	if s.reason == nil && ctx.Err() != nil {
		s.reason = fmt.Errorf("serial: send: %w: %w", ErrTransient, ctx.Err())
	}
	if s.reason != nil {
		defer s.mu.Unlock()
		s.signal()
		return s.reason
	}
	s.next++
	s.calls.Add(1)
	call, cancel := context.WithCancel(ctx)
	s.abort = cancel
	s.mu.Unlock()
	defer s.calls.Done()
	defer cancel()
	ack, err := s.appender.sink.appendBatch(call, seq, recs)

	s.mu.Lock()
	defer s.mu.Unlock()
	defer s.signal()
	switch {
	case err == nil:
		ack.Seq = seq
		s.acks = append(s.acks, ack)
	case s.reason == nil:
		s.reason = classifyCall(err)
	}
	return nil // taken: what became of it is for Recv to say
}

// classifyCall makes a bare context error an unknown outcome: the call had begun when it ended.
func classifyCall(err error) error {
	bare := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	if bare && !errors.Is(err, ErrTransient) && !errors.Is(err, ErrIndeterminate) {
		return fmt.Errorf("serial: append: %w: %w", ErrIndeterminate, err)
	}
	return err
}

func (s *serialSession) Recv(ctx context.Context) (Ack, error) {
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

// poll returns the next ack, or the reason once there is no further one. Nothing is acknowledged behind the reason, even
// if an append that was still running then succeeds.
func (s *serialSession) poll() (ack Ack, ok bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.acks) > 0 && !s.over {
		ack, s.acks = s.acks[0], s.acks[1:]
		s.appender.mu.Lock()
		s.appender.acked = ack.Seq + 1
		s.appender.mu.Unlock()
		return ack, true, nil
	}
	s.over = s.reason != nil
	return Ack{}, false, s.reason
}

// leave ends the session because the caller of Recv did: what is under way may still be stored.
func (s *serialSession) leave(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reason != nil {
		return
	}
	s.appender.mu.Lock()
	defer s.appender.mu.Unlock()
	fate := ErrTransient
	if s.next > s.appender.acked {
		fate = ErrIndeterminate
	}
	s.reason = fmt.Errorf("serial: recv: %w: %w", fate, cause)
}

func (s *serialSession) Close() error {
	s.mu.Lock()
	s.reason, s.over = fmt.Errorf("serial: %w", ErrClosed), true
	abort := s.abort
	s.mu.Unlock()
	abort()
	s.calls.Wait()
	s.signal()
	return nil
}

// signal wakes a blocked Recv; the token stays for the next one if there is none.
func (s *serialSession) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
