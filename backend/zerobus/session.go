package zerobus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
)

// A session is one stream, on a connection of its own unless told otherwise: when that is closed, nothing more comes of it,
// and a slow table holds up no other. Acks are cumulative and offsets are dense, so all it has to keep of the batches under
// way is how many there are.
type session struct {
	appender *appender
	release  func() // lets go of the connection
	stream   grpc.ClientStream
	kill     context.CancelFunc
	grant    grant
	id       string // the server's name of the stream
	first    uint64 // the seq that is wire offset 0

	room  chan struct{} // one token: there is room for the Send that may wait
	clear chan struct{} // one token: the message on its way is, or is not
	calls sync.WaitGroup
	gone  chan struct{} // closed when Close has done its work

	msg outgoing // of Send
	in  response // of Recv

	// Under the appender's lock.
	taken     int64 // batches that Send took, the one on its way included
	sent      int64 // of them handed to the connection
	acked     int64 // of them durable
	sending   bool  // Send is between its checks and the connection
	receiving bool
	sender    watch
	receiver  watch
	finished  bool // nothing follows: the stream is half-closed as soon as nothing is on its way
	reason    error
	told      bool // the stream is over, and Recv has returned why
	closed    bool
	timer     *time.Timer // ends a pause, and then the wait for the end of the stream
}

var errWaiting = errors.New("the stream has ended")

// Send encodes recs, so lent memory is never read once it has returned. It waits while InFlight batches are
// unacknowledged or the connection is behind.
func (s *session) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	if err := s.admit(ctx, seq, recs); err != nil {
		return err
	}
	defer s.calls.Done()
	s.msg.encode(&ingestion{kind: s.appender.kind, offset: int64(seq - s.first), recs: recs})
	if err := s.take(); err != nil {
		return err
	}
	return s.handedOver(s.stream.SendMsg(&s.msg))
}

// admit waits until there is room for a batch, and counts the call.
func (s *session) admit(ctx context.Context, seq uint64, recs []backend.Record) error {
	a := s.appender
	refusal := a.kind.checkBatch(recs)
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		limit := int64(a.sink.cfg.inFlight)
		next := s.first + uint64(s.taken)
		switch {
		case s.closed:
			return s.errClosed()
		case s.reason != nil:
			return s.reason
		case seq != next:
			return s.end(fmt.Errorf("%w: seq %d where %d is next", backend.ErrConflict, seq, next))
		case ctx.Err() != nil:
			return s.end(ctx.Err())
		case refusal != nil:
			return s.end(fmt.Errorf("batch %d: %w", seq, refusal))
		case limit == 0 || s.taken-s.acked < limit:
			s.sending = true
			s.calls.Add(1)
			// A server that reads nothing blocks SendMsg, which knows no context of a message.
			s.watch(ctx, &s.sender, &s.sending)
			return nil
		}
		a.mu.Unlock()
		select {
		case <-s.room:
		case <-ctx.Done():
		}
		a.mu.Lock()
	}
}

// take makes the encoded batch the session's, unless the session has ended meanwhile: one lock decides.
func (s *session) take() error {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	err := s.reason
	if s.closed {
		err = s.errClosed()
	}
	if err == nil {
		s.taken++
		return nil
	}
	s.msg.discard()
	s.sending = false
	s.settle()
	return err
}

// handedOver says what became of the batch that was taken last. What gRPC refuses was not sent.
func (s *session) handedOver(err error) error {
	s.msg.discard() // unless SendMsg has taken it
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	s.sending = false
	wake(s.clear)
	if err == nil {
		s.sent++
		s.settle()
		return nil
	}
	s.taken--
	s.settle()
	switch {
	case s.closed:
		return s.errClosed()
	case s.reason != nil:
		return s.reason
	case err == io.EOF: // Recv has the status
		return s.wrap(fmt.Errorf("%w: %w", backend.ErrTransient, errWaiting))
	}
	s.kill()
	return s.end(fromStatus(err, s.grant.hidden))
}

// Recv returns acks, then the reason. It is what notices that the server closes the stream, so it is to be waiting all
// the time.
func (s *session) Recv(ctx context.Context) (backend.Ack, error) {
	a := s.appender
	a.mu.Lock()
	if err := s.dead(); err != nil {
		a.mu.Unlock()
		return backend.Ack{}, err
	}
	s.receiving = true
	s.calls.Add(1)
	s.watch(ctx, &s.receiver, &s.receiving)
	a.mu.Unlock()
	defer s.calls.Done()
	seq, got, err := s.receive()
	said := statement(err, s.grant.hidden)
	if said != nil && (said.Code == codes.Unauthenticated || said.Code == codes.PermissionDenied) {
		a.sink.invalidate(ctx, s.grant)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s.receiving = false
	if got {
		return backend.Ack{Seq: seq}, nil
	}
	return backend.Ack{}, s.tell(said)
}

// receive reads until an ack that says something new, or to the end of the stream.
func (s *session) receive() (seq uint64, got bool, err error) {
	for {
		if err := s.stream.RecvMsg(&s.in); err != nil {
			return 0, false, err
		}
		switch {
		case s.in.kind == ack:
			seq, got, err = s.acknowledged(s.in.acked)
		case s.in.kind != closing:
			err = &Error{Code: codes.Internal, Message: "unexpected response from server: " + s.in.kind.String()}
		default:
			s.rotate(s.in.pause)
		}
		if got || err != nil {
			return seq, got, err
		}
	}
}

// acknowledged checks an ack against what was sent. One that cannot be true says nothing about what is stored, and the
// stream that it came on is not believed any more.
func (s *session) acknowledged(upTo *int64) (seq uint64, got bool, err error) {
	if upTo == nil {
		return 0, false, &Error{Code: codes.Internal, Message: "missing ack offset in server response"}
	}
	n := *upTo
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	for n == s.sent && s.sending && n < s.taken {
		// SendMsg has yet to return. Before it has, this is either quick or a lie.
		a.mu.Unlock()
		<-s.clear
		a.mu.Lock()
	}
	if n < s.acked-1 || n >= s.sent {
		return 0, false, &Error{
			Code:    codes.Internal,
			Message: fmt.Sprintf("invalid durability ack offset %d: %d were sent and %d acknowledged", n, s.sent, s.acked),
		}
	}
	if n == s.acked-1 || s.closed {
		return 0, false, nil
	}
	s.acked = n + 1
	a.acked = s.first + uint64(s.acked)
	wake(s.room)
	s.settle()
	return s.first + uint64(n), true, nil
}

// dead returns what Recv says from the first call on after its last. The lock is held.
func (s *session) dead() error {
	switch {
	case s.closed:
		return s.errClosed()
	case s.told:
		return s.reason
	}
	return nil
}

// Close abandons what is not acknowledged. It ends the stream as the protocol wants it, whatever is owed: half-closed, and
// read to its end for up to half a second. Cutting it off would tell the server of a failure where there is none.
func (s *session) Close() error {
	a := s.appender
	a.mu.Lock()
	first := !s.closed
	s.closed = true
	a.mu.Unlock()
	if first {
		s.shut()
		close(s.gone)
	}
	<-s.gone
	return nil
}

func (s *session) shut() {
	a := s.appender
	a.mu.Lock()
	if !s.told {
		s.finish()
	}
	wake(s.room)
	a.mu.Unlock()
	s.calls.Wait() // Recv reads to the end of the stream. A Send that a server holds up ends when finish's patience does.
	a.mu.Lock()
	over := s.told
	s.sender.end()
	s.receiver.end()
	a.mu.Unlock()
	for r := (response{}); !over && s.stream.RecvMsg(&r) == nil; {
	}
	a.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
	}
	a.mu.Unlock()
	s.kill()
	s.release()
}

func (s *session) errClosed() error { return s.wrap(backend.ErrClosed) }

// wrap names the table and the stream.
func (s *session) wrap(err error) error {
	return &StreamError{Table: s.appender.sink.table, ID: s.id, Err: err}
}

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
