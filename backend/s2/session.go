package s2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// outboxBytes is how much a session holds that the connection has not taken. Send waits above it.
const outboxBytes = 4 << 20

// A session is one append session on a connection of its own. There are no ids on the wire: the k-th ack on a connection
// is the k-th batch's, so inflight is the one queue that both sides are in.
type session struct {
	appender  *appender
	stream    *Stream
	tail      uint64 // with Exclusive: what is below it was stored before this session
	token     *string
	transport *transport
	body      io.ReadCloser
	frames    *s2s.Reader
	coder     *s2s.Coder // of Send
	out       *outbox
	suffix    string // of offsets

	life       context.Context // of the request
	kill       context.CancelFunc
	recv, send chan struct{} // one token each: wakes the one Recv or Send that may wait
	calls      sync.WaitGroup
	done       chan struct{} // receive has returned

	connMu sync.Mutex
	conns  []net.Conn

	// Under the appender's lock.
	next     uint64 // the seq that Send expects
	inflight []batch
	answered int      // of inflight, from the front
	acks     int      // frames answered on this connection
	last     uint64   // where the last ack ended
	acked    bool     // there was one
	reason   error    // why nothing more is taken
	over     bool     // nothing more comes from the server
	told     bool     // Recv has returned the reason
	lastAck  wire.Ack // of the batch that Recv returned last, for whoever calls Recv
	closed   bool
	drain    *time.Timer
}

// A batch is one that was taken.
type batch struct {
	n      int
	at     uint64 // where it is, once answered; before, where it must go if appends are exclusive
	resent bool   // an earlier session took it
	ack    wire.Ack
}

// Send encodes recs, so lent memory is never read once it has returned. It waits while InFlight batches are
// unacknowledged or the connection is behind.
func (s *session) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	return s.submit(ctx, seq, recs, size, Condition{})
}

// submit is Send with the door that the records must pass, and with a condition of the batch's own.
func (s *session) submit(ctx context.Context, seq uint64, recs []backend.Record, door func(*backend.Record) (int, error), own Condition) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.calls.Done()
	bytes, refusal := checkBatch(recs, door)
	b, err := s.admit(ctx, seq, len(recs), refusal)
	if err != nil {
		return err
	}
	if b.resent && s.stream.cfg.exclusive && b.at < s.tail {
		return s.settle(ctx, b, recs)
	}
	frame, err := s.encode(recs, b, bytes, own)
	if err != nil {
		return s.refuse(fmt.Errorf("s2: %s: encode: %w", s.op(), err))
	}
	return s.take(b, frame)
}

// enter counts the call, so that Close waits for it: until it returns it may read lent records.
func (s *session) enter() error {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.closed {
		return s.errClosed()
	}
	s.calls.Add(1)
	return nil
}

// admit waits until there is room, and says where the batch goes.
func (s *session) admit(ctx context.Context, seq uint64, n int, refusal error) (batch, error) {
	a := s.appender
	for {
		a.mu.Lock()
		switch {
		case s.closed:
			defer a.mu.Unlock()
			return batch{}, s.errClosed()
		case s.reason != nil:
			defer a.mu.Unlock()
			return batch{}, s.reason
		case seq != s.next:
			defer a.mu.Unlock()
			return batch{}, s.end(fmt.Errorf("s2: %s: seq %d where %d is next: %w", s.op(), seq, s.next, backend.ErrConflict))
		case ctx.Err() != nil:
			defer a.mu.Unlock()
			return batch{}, s.end(fmt.Errorf("s2: %s: %w: %w", s.op(), backend.ErrTransient, ctx.Err()))
		case refusal != nil:
			defer a.mu.Unlock()
			return batch{}, s.end(fmt.Errorf("s2: %s: batch %d: %w", s.op(), seq, refusal))
		}
		if len(s.inflight) < s.stream.cfg.inFlight && s.out.pending() < outboxBytes {
			defer a.mu.Unlock()
			at, before, resent := a.position(seq)
			if resent && before != n {
				return batch{}, s.end(fmt.Errorf("s2: %s: seq %d had %d records and now has %d: %w", s.op(), seq, before, n, backend.ErrConflict))
			}
			return batch{n: n, at: at, resent: resent}, nil
		}
		a.mu.Unlock()
		select {
		case <-s.send:
		case <-ctx.Done():
		}
	}
}

// encode makes the frame of a batch, whose payload has at most so many bytes, in memory of the outbox.
func (s *session) encode(recs []backend.Record, b batch, bytes int, own Condition) ([]byte, error) {
	c := wire.Condition{MatchSeqNum: own.SeqNum, FencingToken: own.FencingToken}
	if s.stream.cfg.exclusive {
		c.MatchSeqNum = &b.at
	}
	if c.FencingToken == nil {
		c.FencingToken = s.token
	}
	frame := append(s.out.buffer(s2s.HeaderSize+bytes), 0, 0, 0, 0)
	frame = wire.AppendInput(frame, recs, c)
	var spare []byte
	if s.coder.Compresses(len(frame) - s2s.HeaderSize) {
		spare = s.out.buffer(0)
	}
	sealed, compressed, err := s.coder.Seal(frame, spare)
	switch {
	case compressed:
		s.out.recycle(frame)
	case spare != nil:
		s.out.recycle(spare)
	}
	return sealed, err
}

// take makes the batch the session's. One lock decides between this and the end.
func (s *session) take(b batch, frame []byte) error {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case s.closed:
		return s.errClosed()
	case s.reason != nil:
		return s.reason
	}
	s.inflight = append(s.inflight, b)
	if !b.resent {
		a.taken = append(a.taken, b.n)
	}
	s.next++
	if frame == nil {
		s.answered++ // what is settled comes before what is sent
		wake(s.recv)
		return nil
	}
	s.out.put(frame)
	return nil
}

// refuse ends the session from Send.
func (s *session) refuse(reason error) error {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case s.closed:
		return s.errClosed()
	case s.reason != nil:
		return s.reason
	}
	return s.end(reason)
}

// end takes nothing more. What was sent is still answered, for as long as a request may take. The lock is held.
func (s *session) end(reason error) error {
	s.reason = reason
	s.out.finish()
	if s.drain == nil && s.answered < len(s.inflight) && !s.over {
		s.drain = time.AfterFunc(s.stream.client().cfg.timeout, s.kill)
	}
	wake(s.recv)
	wake(s.send)
	return reason
}

// Recv returns one ack a batch, then the reason.
func (s *session) Recv(ctx context.Context) (backend.Ack, error) {
	a := s.appender
	for {
		a.mu.Lock()
		switch {
		case s.closed:
			defer a.mu.Unlock()
			return backend.Ack{}, s.errClosed()
		case s.told:
			defer a.mu.Unlock()
			return backend.Ack{}, s.reason
		case s.answered > 0:
			defer a.mu.Unlock()
			return s.ack(), nil
		case s.reason != nil && (s.over || len(s.inflight) == 0):
			defer a.mu.Unlock()
			return backend.Ack{}, s.tell()
		case ctx.Err() != nil:
			defer a.mu.Unlock()
			if s.reason == nil {
				s.reason = fmt.Errorf("s2: %s: %w", s.op(), s.interrupted(ctx.Err()))
			} else {
				s.reason = s.besides(s.interrupted(ctx.Err()))
			}
			s.kill()
			wake(s.send)
			return backend.Ack{}, s.tell()
		}
		a.mu.Unlock()
		select {
		case <-s.recv:
		case <-ctx.Done():
		}
	}
}

// tell makes the reason final. A certain refusal frees the seqs of all that is unacknowledged: nothing of it is stored,
// and what is sent under them next may differ. The lock is held.
func (s *session) tell() error {
	s.told = true
	refused := errors.Is(s.reason, backend.ErrRejected) || errors.Is(s.reason, backend.ErrTooLarge)
	if refused && !errors.Is(s.reason, backend.ErrIndeterminate) {
		s.appender.taken = nil
	}
	return s.reason
}

// ack takes the oldest batch off the queue. The lock is held.
func (s *session) ack() backend.Ack {
	a := s.appender
	b := s.inflight[0]
	s.inflight = s.inflight[1:]
	s.answered--
	s.lastAck = b.ack
	seq := a.acked
	a.acked++
	a.taken = a.taken[1:]
	a.next = b.at + uint64(b.n)
	wake(s.send)
	return backend.Ack{
		Seq:  seq,
		Next: at(a.next, s.suffix),
		OffsetOf: func(i int) backend.Offset {
			if i < 0 || i >= b.n {
				return ""
			}
			return at(b.at+uint64(i), s.suffix)
		},
	}
}

// Close abandons the connection and with it everything on its way.
func (s *session) Close() error {
	a := s.appender
	a.mu.Lock()
	first := !s.closed
	s.closed = true
	if s.drain != nil {
		s.drain.Stop()
	}
	unsure := first && s.frames != nil && s.answered < len(s.inflight)
	wake(s.recv)
	wake(s.send)
	a.mu.Unlock()
	if unsure {
		s.settleDown()
	}
	s.kill()
	_ = s.out.Close()
	s.connMu.Lock()
	for _, c := range s.conns {
		_ = c.Close()
	}
	s.connMu.Unlock()
	if s.frames != nil {
		<-s.done
	}
	s.calls.Wait()
	if first {
		if s.coder != nil {
			s.coder.Close()
		}
		if s.transport != nil {
			s.transport.CloseIdleConnections()
		}
	}
	return nil
}

// settleDown gives the server a moment to finish what it has before the connection is cut: what lands later mixes with what
// the next session sends, or, if appends are exclusive, costs that another attempt.
func (s *session) settleDown() {
	s.out.stop()
	moment := time.NewTimer(time.Second)
	defer moment.Stop()
	select {
	case <-s.done:
	case <-moment.C:
	}
}

func (s *session) op() string { return s.stream.op("append to") }

func (s *session) errClosed() error { return fmt.Errorf("s2: %s: %w", s.op(), backend.ErrClosed) }

func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
