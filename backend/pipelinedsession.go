package backend

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// A pipelinedSession decides under one lock which batches are taken, which batches are acknowledged, and why the session
// ends. With two locks, Send could take a batch after Recv has returned the reason for the end. Then nobody would report
// the fate of the batch.
//
//	seqs    [ acknowledged | in flight | not taken yet ]
//	                       ^ acked     ^ next
//
// A session passes through these states, and each state but the first is optional:
//
//	open            Send takes batches
//	reason set      Send takes nothing more; acks that the store owes still come
//	reasonReturned  Recv has returned the reason; only Close is useful now
//	closed          Send and Recv return ErrClosed
type pipelinedSession struct {
	name     string
	conn     Conn
	limits   Limits
	room     chan struct{}  // one token: something changed that Send may wait for
	written  chan struct{}  // one token: Write has returned
	calls    sync.WaitGroup // calls of the Conn by Send and Recv; Close waits for them
	released chan struct{}  // closed when the first Close has returned

	// mu of progress guards all these fields. mu is held while Finish and Fate of the Conn run, but not during Write, Read and
	// Close.
	*progress
	next           uint64 // the seq that Send expects; a batch that Write is sending counts as taken
	writing        bool   // Write is running
	finished       bool   // Finish was called
	reason         error  // why Send takes nothing more; nil while the session is open
	reasonReturned bool   // Recv has returned the reason
}

// progress is what the appender must know of a session before it opens the next session. The appender keeps the progress and not
// the session: between two sessions, the memory of the connection is free.
type progress struct {
	mu     sync.Mutex
	acked  uint64 // the first seq that Recv has not acknowledged
	closed bool
}

func newPipelinedSession(name string, conn Conn, next uint64, limits Limits) *pipelinedSession {
	return &pipelinedSession{
		name: name, conn: conn, limits: limits, next: next, progress: &progress{acked: next},
		room: make(chan struct{}, 1), written: make(chan struct{}, 1), released: make(chan struct{}),
	}
}

func (p *progress) state() (acked uint64, closed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.acked, p.closed
}

func (s *pipelinedSession) Send(ctx context.Context, seq uint64, recs []Record) error {
	// A producer has metered each record already, but perhaps by other limits than the limits of this session. If the producer
	// passed its sum on, we would save at most 5 percent of the time of a JSON record of 1 KiB, and would have to trust the sum.
	_, refusal := s.limits.Check(recs)
	if err := s.admit(ctx, seq, refusal); err != nil {
		return err
	}
	defer s.calls.Done()
	return s.afterWrite(seq, s.conn.Write(ctx, seq, recs))
}

// admit waits until there is room for batch seq, and takes the batch. refusal is the error of records beyond the limits.
// The batch counts as taken from now on, because the ack may come before Write returns.
func (s *pipelinedSession) admit(ctx context.Context, seq uint64, refusal error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.closed:
			return s.errClosed()
		case s.reason != nil:
			return s.reason
		case seq != s.next:
			return s.takeNothingMoreLocked(fmt.Errorf("%s: send: seq %d where %d is next: %w", s.name, seq, s.next, ErrConflict))
		case ctx.Err() != nil:
			return s.takeNothingMoreLocked(fmt.Errorf("%s: send: %w: %w", s.name, ErrTransient, ctx.Err()))
		case refusal != nil:
			return s.takeNothingMoreLocked(fmt.Errorf("%s: send: batch %d: %w", s.name, seq, refusal))
		case s.limits.InFlight == 0 || s.next-s.acked < uint64(s.limits.InFlight):
			s.next++
			s.writing = true
			s.calls.Add(1)
			return nil
		}
		s.mu.Unlock()
		select {
		case <-s.room:
		case <-ctx.Done():
		}
		s.mu.Lock()
	}
}

// afterWrite gives the batch back when Write did not send the batch, and returns the error for Send. A batch that Write has
// sent stays taken even after Close, because the batch may be stored and the caller must know that.
func (s *pipelinedSession) afterWrite(seq uint64, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	wake(s.written)
	// An ack of the batch counts more than an error of Write: the batch is stored.
	if err == nil || s.acked > seq {
		if s.reason != nil {
			s.finishLocked() // the reason was set while Write ran, when Finish could not be called
		}
		return nil
	}
	s.next--
	switch {
	case s.closed:
		return s.errClosed()
	case err == io.EOF && s.reason == nil:
		// This error must not become the reason. The error of Read says more, for example that a credential is refused.
		return fmt.Errorf("%s: send: %w: the connection takes no more batches", s.name, ErrTransient)
	}
	return s.takeNothingMoreLocked(err)
}

// takeNothingMoreLocked sets the reason, unless there is a reason already, and returns the reason that counts. Recv returns
// the acks that the store still owes before the reason.
func (s *pipelinedSession) takeNothingMoreLocked(reason error) error {
	if s.reason == nil {
		s.reason = reason
		wake(s.room)
	}
	s.finishLocked()
	return s.reason
}

// finishLocked tells the Conn that no Write follows. While Write runs, finishLocked does nothing, and afterWrite calls
// finishLocked again.
func (s *pipelinedSession) finishLocked() {
	if !s.finished && !s.writing && !s.closed {
		s.finished = true
		s.conn.Finish()
	}
}

func (s *pipelinedSession) Recv(ctx context.Context) (Ack, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		return Ack{}, s.errClosed()
	case s.reason != nil && (s.reasonReturned || s.next == s.acked):
		s.reasonReturned = true
		return Ack{}, s.reason
	}
	s.calls.Add(1)
	defer s.calls.Done()
	s.mu.Unlock()
	ack, err := s.conn.Read(ctx)
	s.mu.Lock()
	if err == nil && (ack.Seq < s.acked || ack.Seq >= s.next) {
		err = fmt.Errorf("the store acknowledged batch %d, where batches %d up to %d are in flight", ack.Seq, s.acked, s.next)
	}
	switch {
	case err != nil && s.closed:
		return Ack{}, s.errClosed()
	case err != nil:
		return Ack{}, s.loseLocked(err)
	}
	// The ack counts even when Close was called meanwhile. The Conn has given the ack away and has forgotten the batch. If we
	// dropped the ack, the next session would send the batch again, and the store would hold the batch twice.
	s.acked = ack.Seq + 1
	wake(s.room)
	return ack, nil
}

// loseLocked turns err, the loss of the connection, into the reason that Recv returns. loseLocked waits for Write: until
// Write has returned, nobody knows whether the store may hold the batch that Write sends, and whether the batch counts as
// unanswered.
//
// The lock is released during the wait. Close may run meanwhile, so loseLocked looks at closed again.
func (s *pipelinedSession) loseLocked(err error) error {
	for s.writing {
		s.mu.Unlock()
		<-s.written
		s.mu.Lock()
	}
	if s.closed {
		return s.errClosed()
	}
	unanswered := int(s.next - s.acked)
	if s.reason == nil || unanswered > 0 {
		s.reason = s.withFate(s.conn.Fate(err, unanswered))
	}
	s.reasonReturned = true
	wake(s.room)
	return s.reason
}

// withFate makes the reason from the fate of the batches in flight. An earlier reason came from Send and is about a later
// batch that was not taken. The earlier reason says nothing about the batches in flight, so it is in the text only: if the
// error wrapped the earlier reason, a refusal of the later batch would look like a refusal of a batch in flight. Send
// returns the refusal again when the caller sends the later batch again.
func (s *pipelinedSession) withFate(fate error) error {
	if s.reason == nil {
		return fmt.Errorf("%s: append: %w", s.name, fate)
	}
	return fmt.Errorf("%s: append: %w (nothing more was taken: %v)", s.name, fate, s.reason)
}

// Close closes the connection once. A second Close waits until the first Close has closed the connection, and does nothing
// else. Without the wait, the second Close could return while the connection is still open. The caller would then open the
// next session, and closing the old connection could change the state that both connections share in the Dialer.
func (s *pipelinedSession) Close() error {
	s.mu.Lock()
	again := s.closed
	s.closed = true
	wake(s.room)
	s.mu.Unlock()
	if again {
		<-s.released
		return nil
	}
	defer close(s.released)
	err := s.conn.Close()
	s.calls.Wait()
	return err
}

func (s *pipelinedSession) errClosed() error { return fmt.Errorf("%s: session: %w", s.name, ErrClosed) }

// wake leaves a token for the one goroutine that may wait. A single token is enough, because the goroutine looks at
// everything again when the goroutine gets the token.
func wake(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
