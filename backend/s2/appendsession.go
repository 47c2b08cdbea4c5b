package s2

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
)

// An AppendSession appends batches of the caller's choice over a single connection. S2 stores each batch whole or not at all,
// on a condition of its own, and many batches may be in flight at once. An AppendSession is for programs with their own
// batches and conditions; other programs use a producer.
//
// An AppendSession does not replace a lost connection. It ends with the first failure, and the tickets of the batches in
// flight say whether their batches may be stored.
//
// All methods may be called from any goroutine.
type AppendSession struct {
	appender *appender
	inner    backend.Session
	turn     chan struct{} // holds the token of the running Submit: two at once would change the order of batches
	ended    chan struct{} // receive has returned

	mu      sync.Mutex
	seq     uint64
	tickets []*Ticket // of the batches in flight, in order
}

// A Ticket is for one batch of an [AppendSession].
type Ticket struct {
	done chan struct{}
	at   Appended
	err  error
}

// Done is closed when the batch is acknowledged or has failed.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Wait returns where the batch is, with the times of the first and last record, or why the batch failed. The batch may be
// stored if the error wraps [backend.ErrIndeterminate]. The end of ctx ends the wait alone, and Wait may be called again.
func (t *Ticket) Wait(ctx context.Context) (Appended, error) {
	select {
	case <-t.done:
		return t.at, t.err
	case <-ctx.Done():
		return Appended{}, ctx.Err()
	}
}

// OpenAppendSession opens an append session. ctx limits the opening alone. [Exclusive] and [Fence] are for producers and have
// no effect here. A batch with a condition without a token demands the token of [FencingToken].
func (s *Stream) OpenAppendSession(ctx context.Context) (*AppendSession, error) {
	own := *s
	own.cfg.exclusive, own.cfg.fence, own.cfg.bare = false, false, true
	appender := own.newAppender(sizeAny)
	inner, err := own.pipelined(appender).Open(ctx)
	if err != nil {
		return nil, err
	}
	a := &AppendSession{appender: appender, inner: inner, turn: make(chan struct{}, 1), ended: make(chan struct{})}
	go a.receive()
	return a, nil
}

// Submit takes a batch, and the batch may hold command records. Submit waits only while [InFlight] batches are in flight or
// the connection is behind. S2 stores batches in the order of the calls. When a condition fails, S2 stores neither the batch
// nor the batches behind, and the session ends. Submit refuses a batch beyond the limits of S2, and the session goes on.
//
// ctx limits the wait. When ctx ends during the wait, the session ends too.
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
	a.tickets = append(a.tickets, t) // before Send, because the ack may come before Send returns
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

// receive hands each ack to the oldest ticket, and the reason for the end to all tickets left.
func (a *AppendSession) receive() {
	defer close(a.ended)
	for {
		_, err := a.inner.Recv(context.Background()) // Close ends the call
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

// Close gives up the batches in flight. Wait for their tickets first if the batches matter. Close always returns nil.
func (a *AppendSession) Close() error {
	err := a.inner.Close()
	<-a.ended
	return err
}
