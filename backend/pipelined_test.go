package backend_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/backend"
)

// scripted is a Conn whose Write and Read do what a test says. Read waits for answers.
type scripted struct {
	limits   backend.Limits
	write    func(seq uint64) error // nil: the batch is sent
	answers  chan answer
	finished chan struct{}
	closed   chan struct{}
	fate     error // what Fate adds; ErrIndeterminate when nil
	counted  int   // what Fate was told is unanswered
}

type answer struct {
	seq uint64
	err error
}

func newScripted() *scripted {
	return &scripted{answers: make(chan answer, 100), finished: make(chan struct{}), closed: make(chan struct{})}
}

func (c *scripted) Limits() backend.Limits { return c.limits }

func (c *scripted) Dial(context.Context, uint64) (backend.Conn, error) { return c, nil }

func (c *scripted) Write(_ context.Context, seq uint64, _ []backend.Record) error {
	if c.write == nil {
		return nil
	}
	return c.write(seq)
}

func (c *scripted) Read(ctx context.Context) (backend.Ack, error) {
	select { // an answer that is there goes first
	case a := <-c.answers:
		return backend.Ack{Seq: a.seq}, a.err
	default:
	}
	select {
	case a := <-c.answers:
		return backend.Ack{Seq: a.seq}, a.err
	case <-c.finished:
		return backend.Ack{}, io.EOF
	case <-c.closed:
		return backend.Ack{}, io.ErrClosedPipe
	case <-ctx.Done():
		return backend.Ack{}, ctx.Err()
	}
}

func (c *scripted) Finish() { close(c.finished) }

func (c *scripted) Fate(err error, unanswered int) error {
	c.counted = unanswered
	if c.fate != nil {
		return errors.Join(c.fate, err)
	}
	return errors.Join(backend.ErrIndeterminate, err)
}

func (c *scripted) Close() error {
	select {
	case <-c.closed:
	default:
		close(c.closed)
	}
	return nil
}

func open(t *testing.T, c *scripted) backend.Session {
	t.Helper()
	return reopen(t, backend.Pipelined("store", c))
}

func send(t *testing.T, s backend.Session, seqs ...uint64) {
	t.Helper()
	for _, seq := range seqs {
		if err := s.Send(t.Context(), seq, one); err != nil {
			t.Fatalf("batch %d: %v", seq, err)
		}
	}
}

func TestPipelinedAcknowledgesABatchThatIsStillBeingWritten(t *testing.T) {
	c := newScripted()
	acked := make(chan struct{})
	c.write = func(seq uint64) error {
		c.answers <- answer{seq: seq}
		<-acked
		return backend.ErrTransient // the answer is worth more than this
	}
	s := open(t, c)
	sent := make(chan error, 1)
	go func() { sent <- s.Send(t.Context(), 0, one) }()
	if ack, err := s.Recv(t.Context()); err != nil || ack.Seq != 0 {
		t.Errorf("ack %d, %v", ack.Seq, err)
	}
	close(acked)
	if err := <-sent; err != nil {
		t.Errorf("Send of an acknowledged batch: %v", err)
	}
}

func TestPipelinedSpeaksOfABatchOnlyWhenWriteHasReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newScripted()
		returns := make(chan struct{})
		c.write = func(uint64) error { <-returns; return backend.ErrTransient }
		s := open(t, c)
		sent, received := make(chan error, 1), make(chan error, 1)
		go func() { sent <- s.Send(t.Context(), 0, one) }()
		go func() { _, err := s.Recv(t.Context()); received <- err }()
		synctest.Wait()
		c.answers <- answer{err: io.ErrUnexpectedEOF}
		synctest.Wait()
		select {
		case err := <-received:
			t.Errorf("Recv returned beside Write: %v", err)
		default:
		}
		close(returns)
		if err := <-sent; !errors.Is(err, backend.ErrTransient) {
			t.Errorf("Send of a batch that was not sent: %v", err)
		}
		if err := <-received; errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, backend.ErrTransient) {
			t.Errorf("Recv: %v, want only that nothing was taken", err)
		}
	})
}

func TestPipelinedLetsReadSayWhyTheConnectionTakesNoMore(t *testing.T) {
	for name, sent := range map[string]int{"nothing unanswered": 0, "one unanswered": 1} {
		t.Run(name, func(t *testing.T) {
			c := newScripted()
			c.write = func(seq uint64) error {
				if seq < uint64(sent) {
					return nil
				}
				return io.EOF
			}
			c.fate = backend.ErrUnauthorized
			s := open(t, c)
			for seq := range uint64(sent) {
				send(t, s, seq)
			}
			for range 2 {
				err := s.Send(t.Context(), uint64(sent), one)
				if !errors.Is(err, backend.ErrTransient) || errors.Is(err, io.EOF) {
					t.Errorf("Send: %v, want ErrTransient", err)
				}
			}
			c.answers <- answer{err: io.ErrUnexpectedEOF}
			if _, err := s.Recv(t.Context()); !errors.Is(err, backend.ErrUnauthorized) || c.counted != sent {
				t.Errorf("Recv: %v with %d unanswered, want what Read said", err, c.counted)
			}
			if err := s.Send(t.Context(), uint64(sent), one); !errors.Is(err, backend.ErrUnauthorized) {
				t.Errorf("Send after the last words: %v", err)
			}
		})
	}
}

func TestPipelinedReturnsAcksThenTheFateOfTheRest(t *testing.T) {
	c := newScripted()
	s := open(t, c)
	send(t, s, 0, 1, 2)
	c.answers <- answer{seq: 1}
	if err := s.Send(t.Context(), 7, one); !errors.Is(err, backend.ErrConflict) {
		t.Errorf("seq 7 where 3 is next: %v", err)
	}
	if ack, err := s.Recv(t.Context()); err != nil || ack.Seq != 1 {
		t.Errorf("ack %d, %v", ack.Seq, err)
	}
	_, err := s.Recv(t.Context())
	if errors.Is(err, backend.ErrConflict) || !errors.Is(err, backend.ErrIndeterminate) || c.counted != 1 {
		t.Errorf("%v, with %d unanswered; want the doubt about batch 2", err, c.counted)
	}
	if _, again := s.Recv(t.Context()); again == nil || again.Error() != err.Error() {
		t.Errorf("then %v", again)
	}
}

func TestPipelinedSaysTheFateWhereSendWasInterrupted(t *testing.T) {
	c := newScripted()
	c.fate = backend.ErrTransient
	s := open(t, c)
	send(t, s, 0)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Send(ended, 1, one); !errors.Is(err, backend.ErrTransient) {
		t.Errorf("Send: %v", err)
	}
	if _, err := s.Recv(t.Context()); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("Recv: %v", err)
	}
}

func TestPipelinedBelievesNoAckOfABatchThatIsNotInFlight(t *testing.T) {
	for _, seq := range []uint64{0, 2, 99} {
		c := newScripted()
		s := open(t, c)
		send(t, s, 0, 1)
		c.answers <- answer{seq: 0}
		if _, err := s.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
		c.answers <- answer{seq: seq}
		if ack, err := s.Recv(t.Context()); !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("ack of batch %d was believed: %v, %v", seq, ack, err)
		}
	}
}

// lateDialer makes connections whose Read returns an ack after Close was called, and notes the seqs they begin with.
type lateDialer struct {
	*scripted
	dialed []uint64
}

func (d *lateDialer) Dial(_ context.Context, seq uint64) (backend.Conn, error) {
	d.dialed = append(d.dialed, seq)
	return &lateConn{newScripted()}, nil
}

type lateConn struct{ *scripted }

func (c *lateConn) Read(context.Context) (backend.Ack, error) {
	<-c.closed
	return backend.Ack{Seq: 0}, nil
}

func TestPipelinedKeepsAnAckThatArrivesWhileTheSessionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dialer := &lateDialer{scripted: newScripted()}
		appender := backend.Pipelined("store", dialer)
		s := reopen(t, appender)
		send(t, s, 0)
		received := make(chan error, 1)
		go func() { _, err := s.Recv(t.Context()); received <- err }()
		synctest.Wait()
		s.Close()
		if err := <-received; err != nil {
			t.Errorf("Recv returned %v, want the ack that the connection gave", err)
		}
		reopen(t, appender).Close()
		if got := dialer.dialed[1]; got != 1 {
			t.Errorf("the next connection begins with batch %d, want 1: batch 0 is acknowledged", got)
		}
	})
}

// blockedConn is a connection whose Close takes until the test lets it go on.
type blockedConn struct {
	*scripted
	proceed chan struct{}
	closes  int
}

func (c *blockedConn) Dial(context.Context, uint64) (backend.Conn, error) { return c, nil }

func (c *blockedConn) Close() error {
	c.closes++
	<-c.proceed
	return c.scripted.Close()
}

func TestPipelinedClosesTheConnectionOnceAndEveryCloseWaitsForThat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &blockedConn{scripted: newScripted(), proceed: make(chan struct{})}
		s := reopen(t, backend.Pipelined("store", c))
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- s.Close() }()
		synctest.Wait()
		go func() { second <- s.Close() }()
		synctest.Wait()
		if c.closes != 1 || len(second) > 0 {
			t.Errorf("the connection was closed %d times, and %d of the later calls returned, want 1 and 0", c.closes, len(second))
		}
		close(c.proceed)
		if err := errors.Join(<-first, <-second, s.Close()); err != nil || c.closes != 1 {
			t.Errorf("Close: %v, and the connection was closed %d times", err, c.closes)
		}
	})
}

func TestPipelinedWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newScripted()
		c.limits.InFlight = 2
		s := open(t, c)
		send(t, s, 0, 1)
		sent := make(chan error, 1)
		go func() { sent <- s.Send(t.Context(), 2, one) }()
		synctest.Wait()
		select {
		case err := <-sent:
			t.Fatalf("a third batch was taken: %v", err)
		default:
		}
		c.answers <- answer{seq: 0}
		if _, err := s.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := <-sent; err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

func TestPipelinedRefusesWhatIsBeyondTheLimits(t *testing.T) {
	c := newScripted()
	c.limits = backend.Limits{BatchRecords: 2, RecordBytes: 3, BatchBytes: 4}
	value := func(n int) backend.Record { return backend.Record{Value: make([]byte, n)} }
	for _, test := range []struct {
		name  string
		recs  []backend.Record
		want  error
		index int // of the record at fault, -1 for none
	}{
		{"no records", nil, backend.ErrRejected, -1},
		{"three records", []backend.Record{value(0), value(0), value(0)}, backend.ErrTooLarge, -1},
		{"a record of 4 bytes", []backend.Record{value(0), value(4)}, backend.ErrTooLarge, 1},
		{"5 bytes in all", []backend.Record{value(2), value(3)}, backend.ErrTooLarge, -1},
		{"4 bytes in all", []backend.Record{value(1), value(3)}, nil, -1},
	} {
		err := open(t, c).Send(t.Context(), 0, test.recs)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
		var record *backend.RecordError
		if index := -1; errors.As(err, &record) != (test.index >= 0) || record != nil && record.Index != test.index {
			t.Errorf("%s: %v names record %v, want %d", test.name, err, record, index)
		}
		c = &scripted{limits: c.limits, answers: c.answers, finished: make(chan struct{}), closed: make(chan struct{})}
	}
}
