package zerobus

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/tickets"
)

// A Stream is a stream of the service for a program that decides itself which rows belong together. [Stream.Append] sends a
// batch as one request. The service stores a request whole or not at all, acknowledges each request once, and stores batches
// in the order of Append.
//
// Every Stream ends: the service closes streams after about 15 minutes, and connections break. Then Append, and the tickets
// of batches without an ack, return an error:
//
//   - Append returned the error: nothing of the batch is stored. Where the error is [backend.ErrTransient], open another
//     Stream and append the batch there.
//   - The ticket returned [backend.ErrIndeterminate]: the batch is stored whole or not at all, and nobody can tell. Of
//     several batches in doubt, the stored batches come before the others. The service does not recognize a resend: if a
//     program appends the batch again, the batch may be in the table twice.
//   - The ticket returned another error: the batch is not stored.
//
// A refused row ends the Stream with [backend.ErrRejected]. When several batches are not acknowledged, their
// tickets return [backend.ErrIndeterminate] as well, because the refused batch may be any of them.
//
// A producer replaces streams, sends again and finds the refused row by itself. But the producer decides where a batch ends.
//
// The methods may be called from any goroutine.
type Stream struct {
	conn    *conn
	label   string
	limits  backend.Limits
	batches *tickets.Session[struct{}] // the service says nothing of a stored batch but that the batch is stored
}

// A Ticket is for a batch of a [Stream].
type Ticket tickets.Ticket[struct{}]

// Done returns a channel that is closed when the batch is durable or the Stream has ended.
func (t *Ticket) Done() <-chan struct{} { return (*tickets.Ticket[struct{}])(t).Done() }

// Wait returns nil when the batch is durable, and otherwise an error: see [Stream]. The end of ctx ends the wait and not the
// batch. Wait may be called again.
func (t *Ticket) Wait(ctx context.Context) error {
	_, err := (*tickets.Ticket[struct{}])(t).Wait(ctx)
	return err
}

// OpenStream opens a stream for records of a format. A codec has the format. ctx bounds the opening only.
func (s *Sink) OpenStream(ctx context.Context, f backend.Format) (*Stream, error) {
	d := &recordingDialer{streamDialer: s.newDialer(f)}
	a := appender{Appender: backend.Pipelined(s.label(), d), kind: d.kind}
	session, err := a.Open(ctx)
	if err != nil {
		return nil, err
	}
	batches := tickets.New(s.label()+": send", session, func(backend.Ack) struct{} { return struct{}{} })
	return &Stream{conn: d.conn, label: s.label(), limits: a.Limits(), batches: batches}, nil
}

// A recordingDialer keeps the conn, because the conn has the id of the stream.
type recordingDialer struct {
	*streamDialer
	conn *conn
}

func (d *recordingDialer) Dial(ctx context.Context, seq uint64) (backend.Conn, error) {
	c, err := d.streamDialer.Dial(ctx, seq)
	d.conn, _ = c.(*conn)
	return c, err
}

// ID is the service's name of the stream. The operators of the service ask for the ID. The errors of the Stream have the ID
// too: see [StreamError].
func (s *Stream) ID() string { return s.conn.id }

// Append sends a batch and returns at once, unless [InFlight] batches are not acknowledged or the connection is behind. The
// caller may change the records when Append has returned.
//
// Append refuses a batch that cannot be sent with [backend.ErrRejected] or [backend.ErrTooLarge]: the batch is empty or
// exceeds the limits, or a record has headers or is no row. The Stream goes on. ctx bounds the wait for room; if ctx ends,
// the Stream ends.
func (s *Stream) Append(ctx context.Context, recs []backend.Record) (*Ticket, error) {
	if _, err := s.limits.Check(recs); err != nil {
		return nil, fmt.Errorf("%s: send: %w", s.label, err)
	}
	t, err := s.batches.Send(ctx, recs, nil)
	return (*Ticket)(t), err
}

// Close ends the stream and gives up the batches that are not acknowledged: wait for their tickets before. Close always
// returns nil. A second Close does nothing.
func (s *Stream) Close() error { return s.batches.Close() }
