package s2

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
)

// An AppendSession appends batches of the caller's choice over one connection: each is stored whole or not at all, on a
// condition of its own, and many may be on their way at once. It is for programs that decide batches and conditions
// themselves; a producer does both, and replaces lost connections, which an AppendSession does not: it ends with the first
// failure, and what becomes of the batches that are not acknowledged is said by their tickets.
//
// Its methods may be called from any goroutine.
type AppendSession struct {
	appender *appender
	inner    backend.Session
	turn     chan struct{} // a token: one Submit at a time, or batches would change their order
	ended    chan struct{} // receive has returned

	mu      sync.Mutex
	seq     uint64
	tickets []*Ticket // of the batches that are not answered, in order
}

// A Ticket is for one batch of an [AppendSession].
type Ticket struct {
	done chan struct{}
	at   Appended
	err  error
}

// Done is closed when the batch is acknowledged or has failed.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Wait returns where the batch went, with the times of its first and last record, or why it failed, and may be called
// again. [backend.ErrIndeterminate] says that the batch may be stored. The end of ctx ends the wait and not the batch.
func (t *Ticket) Wait(ctx context.Context) (Appended, error) {
	select {
	case <-t.done:
		return t.at, t.err
	case <-ctx.Done():
		return Appended{}, ctx.Err()
	}
}

// OpenAppendSession opens an append session. ctx bounds the opening only. [Exclusive] and [Fence] are for producers and
// have no effect; the token of [FencingToken] is demanded by every batch whose condition names none.
func (s *Stream) OpenAppendSession(ctx context.Context) (*AppendSession, error) {
	own := *s
	own.cfg.exclusive, own.cfg.fence, own.cfg.bare = false, false, true
	appender := own.newAppender(sizeAny)
	inner, err := backend.Pipelined("s2: "+s.basin.name+"/"+s.name, appender).Open(ctx)
	if err != nil {
		return nil, err
	}
	a := &AppendSession{appender: appender, inner: inner, turn: make(chan struct{}, 1), ended: make(chan struct{})}
	go a.receive()
	return a, nil
}

// Submit takes a batch, command records included, and returns at once unless [InFlight] batches are unacknowledged or the
// connection is behind. Batches are stored in the order in which Submit took them. When a condition fails, its batch and all
// behind it are stored nowhere, and the session has ended. A batch that S2 could never take is refused here and ends nothing.
//
// ctx bounds the wait for room; its end ends the session too.
func (a *AppendSession) Submit(ctx context.Context, recs []backend.Record, c Condition) (*Ticket, error) {
	op := a.appender.stream.op("append to")
	err := checkBatch(recs)
	if err == nil && c.FencingToken != nil {
		err = checkToken(*c.FencingToken)
	}
	if err != nil {
		return nil, fmt.Errorf("s2: %s: %w", op, err)
	}
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("s2: %s: %w: %w", op, backend.ErrTransient, ctx.Err())
	}
	t := &Ticket{done: make(chan struct{})}
	a.mu.Lock()
	seq := a.seq
	a.tickets = append(a.tickets, t) // before it is sent: the answer may come before submit returns
	a.mu.Unlock()
	a.appender.condition = c
	err = a.inner.Send(ctx, seq, recs)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.tickets = slices.DeleteFunc(a.tickets, func(other *Ticket) bool { return other == t })
		return nil, err
	}
	a.seq++
	return t, nil
}

// receive gives the answers to their tickets.
func (a *AppendSession) receive() {
	defer close(a.ended)
	for {
		_, err := a.inner.Recv(context.Background()) // Close ends it
		a.mu.Lock()
		if err != nil {
			for _, t := range a.tickets {
				t.err = err
				close(t.done)
			}
			a.tickets = nil
			a.mu.Unlock()
			return
		}
		t := a.tickets[0]
		a.tickets = a.tickets[1:]
		a.mu.Unlock()
		ack := a.appender.lastAck
		t.at = Appended{Position(ack.Start), Position(ack.End), Position(ack.Tail)}
		close(t.done)
	}
}

// Close abandons the batches that are not acknowledged: wait for their tickets before, to have them stored. It returns nil.
func (a *AppendSession) Close() error {
	err := a.inner.Close()
	<-a.ended
	return err
}
