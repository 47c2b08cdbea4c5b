package zerobus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
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
	session backend.Session
	conn    *conn
	label   string
	limits  backend.Limits
	turn    chan struct{} // one token: two Appends at a time would change the order of batches
	ended   chan struct{} // closed when receive has returned

	mu      sync.Mutex
	acked   uint64    // batches acknowledged
	tickets []*Ticket // of the later batches
}

// A Ticket is for a batch of a [Stream].
type Ticket struct {
	done chan struct{}
	err  error
}

// Done is closed when the batch is durable or the Stream has ended.
func (t *Ticket) Done() <-chan struct{} { return t.done }

// Wait returns nil when the batch is durable, and otherwise an error: see [Stream]. The end of ctx ends the wait and not the
// batch. Wait may be called again.
func (t *Ticket) Wait(ctx context.Context) error {
	select {
	case <-t.done:
		return t.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// OpenStream opens a stream for records of a format. A codec has the format. ctx bounds the opening only.
func (s *Sink) OpenStream(ctx context.Context, f backend.Format) (*Stream, error) {
	d := &recordingDialer{streamDialer: s.newDialer(f)}
	a := appender{Appender: backend.Pipelined(s.label(), d), kind: d.kind}
	session, err := a.Open(ctx)
	if err != nil {
		return nil, err
	}
	st := &Stream{session: session, conn: d.conn, label: s.label(), limits: a.Limits(), turn: make(chan struct{}, 1), ended: make(chan struct{})}
	go st.receive()
	return st, nil
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
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, fmt.Errorf("%s: send: %w: %w", s.label, backend.ErrTransient, ctx.Err())
	}
	t := &Ticket{done: make(chan struct{})}
	s.mu.Lock()
	seq := s.acked + uint64(len(s.tickets))
	s.tickets = append(s.tickets, t) // before Send, because the ack may come before Send returns
	s.mu.Unlock()
	if err := s.session.Send(ctx, seq, recs); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.tickets = slices.DeleteFunc(s.tickets, func(other *Ticket) bool { return other == t })
		return nil, err
	}
	return t, nil
}

// receive gives the acks to the tickets. When the stream has ended, receive gives the reason to the other tickets.
func (s *Stream) receive() {
	defer close(s.ended)
	for {
		ack, err := s.session.Recv(context.Background()) // Close ends Recv
		s.mu.Lock()
		n := len(s.tickets)
		switch {
		case err == nil:
			n = int(ack.Seq + 1 - s.acked)
			s.acked = ack.Seq + 1
		case errors.Is(err, backend.ErrClosed): // the error says nothing about batches
			err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
		}
		for _, t := range s.tickets[:n] {
			t.err = err
			close(t.done)
		}
		clear(s.tickets[:n])
		s.tickets = s.tickets[n:]
		s.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Close ends the stream and gives up the batches that are not acknowledged: wait for their tickets before. Close always
// returns nil. A second Close does nothing.
func (s *Stream) Close() error {
	err := s.session.Close()
	<-s.ended
	return err
}
