package backendtest

import (
	"context"
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
)

// Discard is a Sink that acknowledges every batch at once and keeps nothing, for measuring what is above it. It takes
// whatever it is given; limits are only what its Appenders report. Sending and receiving allocate nothing.
func Discard(limits backend.Limits) backend.Sink { return discardSink{limits} }

type discardSink struct{ limits backend.Limits }

func (d discardSink) NewAppender(backend.Format) backend.Appender {
	return &discardAppender{limits: d.limits}
}

type discardAppender struct {
	limits backend.Limits

	mu    sync.Mutex
	acked uint64
}

func (a *discardAppender) Limits() backend.Limits { return a.limits }

func (a *discardAppender) Open(ctx context.Context) (backend.Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("discard: open: %w: %w", backend.ErrTransient, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return &discardSession{appender: a, next: a.acked, told: a.acked, wake: make(chan struct{}, 1)}, nil
}

type discardSession struct {
	appender *discardAppender
	wake     chan struct{} // one token: next or reason changed

	mu     sync.Mutex
	next   uint64 // the seq that Send expects
	told   uint64 // seqs below it were returned by Recv
	reason error
	closed bool
}

func (s *discardSession) Send(ctx context.Context, seq uint64, _ []backend.Record) error {
	defer s.signal()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.reason != nil:
	case seq != s.next:
		s.reason = fmt.Errorf("discard: send: seq %d where %d is next: %w", seq, s.next, backend.ErrConflict)
	case ctx.Err() != nil:
		s.reason = fmt.Errorf("discard: send: %w: %w", backend.ErrTransient, ctx.Err())
	default:
		s.next++
	}
	return s.reason
}

// Recv acknowledges all that was sent with one ack, which is as cheap as acks get.
func (s *discardSession) Recv(ctx context.Context) (backend.Ack, error) {
	for {
		s.mu.Lock()
		switch {
		case s.told < s.next && !s.closed:
			s.told = s.next
			ack := backend.Ack{Seq: s.told - 1}
			s.mu.Unlock()
			s.appender.mu.Lock()
			s.appender.acked = ack.Seq + 1
			s.appender.mu.Unlock()
			return ack, nil
		case s.reason != nil:
			defer s.mu.Unlock()
			s.signal()
			return backend.Ack{}, s.reason
		}
		s.mu.Unlock()
		select {
		case <-s.wake:
		case <-ctx.Done():
			s.mu.Lock()
			if s.reason == nil {
				s.reason = fmt.Errorf("discard: recv: %w: %w", backend.ErrIndeterminate, ctx.Err())
			}
			s.mu.Unlock()
		}
	}
}

func (s *discardSession) Close() error {
	s.mu.Lock()
	s.closed, s.reason = true, fmt.Errorf("discard: %w", backend.ErrClosed)
	s.mu.Unlock()
	s.signal()
	return nil
}

// signal wakes a blocked Recv; the token stays for the next one if there is none.
func (s *discardSession) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
