package s2

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/tickets"
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
	batches  *tickets.Session[Appended]
}

// A Ticket is for one batch of an [AppendSession].
type Ticket tickets.Ticket[Appended]

// Done returns a channel that is closed when the batch is acknowledged or has failed.
func (t *Ticket) Done() <-chan struct{} { return (*tickets.Ticket[Appended])(t).Done() }

// Wait returns where the batch is, with the times of the first and last record, or why the batch failed. The batch may be
// stored if the error wraps [backend.ErrIndeterminate]. The end of ctx ends the wait alone, and Wait may be called again.
func (t *Ticket) Wait(ctx context.Context) (Appended, error) {
	return (*tickets.Ticket[Appended])(t).Wait(ctx)
}

// OpenAppendSession opens an append session. ctx limits the opening alone. [Exclusive] and [Fence] are for producers and have
// no effect here. A batch with a condition without a token demands the token of [FencingToken].
func (s *Stream) OpenAppendSession(ctx context.Context) (*AppendSession, error) {
	own := *s
	own.cfg.exclusive, own.cfg.fence, own.cfg.bareOffsets = false, false, true
	appender := own.newAppender(sizeOf)
	inner, err := own.pipelined(appender).Open(ctx)
	if err != nil {
		return nil, err
	}
	where := func(backend.Ack) Appended {
		ack := appender.lastAck // Recv of inner has just written lastAck, and the next Recv has not begun
		return Appended{Position(ack.Start), Position(ack.End), Position(ack.Tail)}
	}
	return &AppendSession{appender: appender, batches: tickets.New("s2: "+s.op("append to"), inner, where)}, nil
}

// Submit takes a batch, and the batch may hold command records. Submit waits only while [InFlight] batches are in flight or
// the connection is behind. S2 stores batches in the order of the calls. When a condition fails, S2 stores neither the batch
// nor the batches behind, and the session ends. Submit refuses a batch beyond the limits of S2, and the session goes on.
//
// ctx limits the wait. When ctx ends during the wait, the session ends too.
func (a *AppendSession) Submit(ctx context.Context, recs []backend.Record, c Condition) (*Ticket, error) {
	err := checkBatch(recs)
	if err == nil && c.FencingToken != nil {
		err = checkToken(*c.FencingToken)
	}
	if err != nil {
		return nil, fmt.Errorf("s2: %s: %w", a.appender.stream.op("append to"), err)
	}
	t, err := a.batches.Send(ctx, recs, func() { a.appender.condition = c })
	return (*Ticket)(t), err
}

// Close gives up the batches in flight, and their tickets return [backend.ErrIndeterminate]. Wait for the tickets first if the
// batches matter. Close always returns nil.
func (a *AppendSession) Close() error { return a.batches.Close() }
