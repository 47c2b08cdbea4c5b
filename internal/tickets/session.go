// Package tickets sends batches through a backend.Session for programs that use no producer: every batch gets a ticket, and the
// ticket says what became of the batch. The sessions s2.AppendSession and zerobus.Stream are made of it.
package tickets

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
)

// A Session is a backend.Session that any goroutine may use. A Session does not replace a lost connection: the Session ends
// with the first failure.
//
// Lock order: turn, then mu. Neither is held while Recv runs.
type Session[R any] struct {
	name   string
	inner  backend.Session
	result func(backend.Ack) R
	turn   chan struct{} // holds the token of the running Send: two at once would change the order of batches
	ended  chan struct{} // closed when receive has returned

	mu      sync.Mutex
	acked   uint64       // number of acknowledged batches; tickets[i] is for the batch with seq acked+i
	tickets []*Ticket[R] // for the batches in flight, in order
}

// New starts to receive the acks of inner. inner must be the first session of its appender, because New numbers the batches from
// 0. The errors of the wait in Send begin with name. result is called once for each ack, always by the same goroutine, before
// the next Recv of inner; every ticket that the ack covers gets the result.
func New[R any](name string, inner backend.Session, result func(backend.Ack) R) *Session[R] {
	s := &Session[R]{name: name, inner: inner, result: result, turn: make(chan struct{}, 1), ended: make(chan struct{})}
	go s.receive()
	return s
}

// Send sends a batch. Send waits for the other calls of Send and for room in the inner session. When ctx ends while the inner
// session waits for room, the Session ends. before, if not nil, is called right before the Send of the inner session, while no
// other Send runs.
//
// An error of Send means that nothing of the batch is stored, and there is no ticket.
func (s *Session[R]) Send(ctx context.Context, recs []backend.Record, before func()) (*Ticket[R], error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: %w: %w", s.name, backend.ErrTransient, ctx.Err())
	}
	if before != nil {
		before()
	}
	t := &Ticket[R]{done: make(chan struct{})}
	s.mu.Lock()
	seq := s.acked + uint64(len(s.tickets))
	s.tickets = append(s.tickets, t) // before the inner Send, because the ack may come before the inner Send returns
	s.mu.Unlock()
	if err := s.inner.Send(ctx, seq, recs); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tickets = slices.DeleteFunc(s.tickets, func(other *Ticket[R]) bool { return other == t })
		return nil, err
	}
	return t, nil
}

// receive gives each ack to the tickets that the ack covers, until the session ends.
func (s *Session[R]) receive() {
	defer close(s.ended)
	for {
		ack, err := s.inner.Recv(context.Background()) // Close ends Recv
		if err != nil {
			s.fail(err)
			return
		}
		result := s.result(ack)
		s.mu.Lock()
		s.resolveLocked(int(ack.Seq+1-s.acked), result, nil)
		s.acked = ack.Seq + 1
		s.mu.Unlock()
	}
}

// fail gives the reason for the end to the tickets that are left.
func (s *Session[R]) fail(reason error) {
	if errors.Is(reason, backend.ErrClosed) {
		// The reason says only that somebody called Close. The store may have got the batches before.
		reason = fmt.Errorf("%w: %w", backend.ErrIndeterminate, reason)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var none R
	s.resolveLocked(len(s.tickets), none, reason)
}

// resolveLocked decides the first n tickets.
func (s *Session[R]) resolveLocked(n int, result R, err error) {
	for _, t := range s.tickets[:n] {
		t.result, t.err = result, err
		close(t.done)
	}
	clear(s.tickets[:n])
	s.tickets = s.tickets[n:]
}

// Close ends the session and gives up the batches in flight. Close may be called several times.
func (s *Session[R]) Close() error {
	err := s.inner.Close()
	<-s.ended
	return err
}
