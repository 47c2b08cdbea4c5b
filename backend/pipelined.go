package backend

import (
	"context"
	"fmt"
	"io"
	"sync"
)

// A Conn is one connection to a store that answers batches in the order in which they were written. [Pipelined] makes a
// [Session] of a Conn: the Conn brings the wire and what the store's errors mean, Pipelined brings the order of seqs, the
// bound on batches in flight, and the rules of how a session ends.
//
// Write runs in one goroutine, Read in another, Close in any. Finish is never called while Write runs. Pipelined has checked
// every batch against the [Limits] before Write.
type Conn interface {
	// Write sends a batch. It may wait for the connection until ctx ends. An error means that nothing of the batch can be
	// stored, now or later; where that is not certain, Write returns nil, and Read says why the connection is lost.
	// Write may return before anything has left the process. After Read has returned an error, Write returns soon.
	//
	// Write returns io.EOF when nothing of the batch was sent because the connection takes no more batches, and Read says
	// why. Then Send's error is only that: [ErrTransient]. The reason of the session is Read's error, even if no batch is
	// unanswered.
	Write(ctx context.Context, seq uint64, recs []Record) error

	// Read returns the next answer: an ack for every batch up to Ack.Seq. An error says why there are no more answers,
	// and that the connection is lost, also when ctx has ended.
	Read(ctx context.Context) (Ack, error)

	// Finish says that no Write follows. Read goes on to return the answers that the store still owes, and returns io.EOF
	// behind the last of them, or another error when the store does not answer in the time that the Conn allows.
	// Finish does not wait.
	Finish()

	// Fate says by the sentinels of this package what err, returned by Read, means for the batches that were written and
	// not answered. There may be none: then err speaks of the connection alone. Fate is called once, by Read's caller,
	// and never while Write runs.
	Fate(err error, unanswered int) error

	// Close gives the connection up, in bounded time, and makes Write and Read return. When it has returned, nothing of
	// the Conn runs or reads records that were lent to Write. It may be called several times.
	Close() error
}

// A Dialer is one producer's way to the connections of a store. What outlives a connection lives in it.
type Dialer interface {
	// Limits are those of [Appender].
	Limits() Limits

	// Dial makes a connection on which seq is written first. ctx bounds this call only. It is never called before the
	// previous Conn was closed.
	Dial(ctx context.Context, seq uint64) (Conn, error)
}

// Pipelined makes an Appender of a store with a connection that takes batches before it has answered earlier ones, and
// answers in their order. The name begins the text of its errors, for example `mystore: stream "orders"`.
//
// A store whose client has one blocking call an append needs only [Serial].
func Pipelined(name string, d Dialer) Appender { return &pipelinedAppender{name: name, dialer: d} }

type pipelinedAppender struct {
	name   string
	dialer Dialer

	mu      sync.Mutex
	session *pipelinedSession // the latest; nil before the first opening
}

func (a *pipelinedAppender) Limits() Limits { return a.dialer.Limits() }

func (a *pipelinedAppender) Open(ctx context.Context) (Session, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%s: open: %w: %w", a.name, ErrTransient, err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var next uint64
	if last := a.session; last != nil {
		acked, closed := last.end()
		if !closed {
			return nil, fmt.Errorf("%s: open: the session before was not closed: %w", a.name, ErrConflict)
		}
		next = acked
	}
	conn, err := a.dialer.Dial(ctx, next)
	if err != nil {
		return nil, err
	}
	a.session = newPipelinedSession(a.name, conn, next, a.dialer.Limits())
	return a.session, nil
}

// A pipelinedSession decides under one lock which batches are taken, which are acknowledged, and why it ended. If two locks
// decided, a batch could be taken behind the last words of Recv, and no one would ever say what became of it.
type pipelinedSession struct {
	name    string
	conn    Conn
	limits  Limits
	room    chan struct{} // one token: something changed that Send may wait for
	written chan struct{} // one token: Write has returned
	calls   sync.WaitGroup

	released chan struct{} // closed when the first Close is over

	mu       sync.Mutex
	next     uint64 // the seq that Send expects; a batch that is being written counts as taken
	acked    uint64 // seqs below it were returned by Recv
	writing  bool
	finished bool  // Finish was called
	reason   error // why nothing more is taken; the first one stays until Recv makes the last words of it
	over     bool  // Recv has returned the reason
	closed   bool
}

func newPipelinedSession(name string, conn Conn, next uint64, limits Limits) *pipelinedSession {
	return &pipelinedSession{
		name: name, conn: conn, limits: limits, next: next, acked: next,
		room: make(chan struct{}, 1), written: make(chan struct{}, 1), released: make(chan struct{}),
	}
}

func (s *pipelinedSession) end() (acked uint64, closed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked, s.closed
}

func (s *pipelinedSession) Send(ctx context.Context, seq uint64, recs []Record) error {
	_, refusal := s.limits.Check(recs)
	if err := s.admit(ctx, seq, refusal); err != nil {
		return err
	}
	defer s.calls.Done()
	return s.wrote(seq, s.conn.Write(ctx, seq, recs))
}

// admit waits until there is room for batch seq, and takes the batch unless its records are refused. The batch counts as taken while it is written,
// because its ack may come before Write returns.
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
			return s.refuseLocked(fmt.Errorf("%s: send: seq %d where %d is next: %w", s.name, seq, s.next, ErrConflict))
		case ctx.Err() != nil:
			return s.refuseLocked(fmt.Errorf("%s: send: %w: %w", s.name, ErrTransient, ctx.Err()))
		case refusal != nil:
			return s.refuseLocked(fmt.Errorf("%s: send: batch %d: %w", s.name, seq, refusal))
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

// wrote takes the batch back if Write did not send it. A batch that Write sent stays taken even after Close: it may be
// stored, and the caller must know that.
func (s *pipelinedSession) wrote(seq uint64, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = false
	wake(s.written)
	if err == nil || s.acked > seq {
		if s.reason != nil {
			s.finishLocked()
		}
		return nil
	}
	s.next--
	switch {
	case s.closed:
		return s.errClosed()
	case err == io.EOF && s.reason == nil:
		// This must not become the reason: it would hide what Read's error says, for example that a credential is refused.
		return fmt.Errorf("%s: send: %w: the connection takes no more batches", s.name, ErrTransient)
	}
	return s.refuseLocked(err)
}

// refuseLocked takes nothing more. The first reason stays, and answers that are still owed come before it.
func (s *pipelinedSession) refuseLocked(reason error) error {
	if s.reason == nil {
		s.reason = reason
		wake(s.room)
	}
	s.finishLocked()
	return s.reason
}

// finishLocked tells the connection that nothing follows, unless a batch is being written: then wrote does.
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
	case s.reason != nil && (s.over || s.next == s.acked):
		s.over = true
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
		return Ack{}, s.lastWordsLocked(err)
	}
	// The ack counts even if Close was called meanwhile: the Conn has given the ack away and forgets the batch, so a batch
	// that is sent again on the next session would be stored a second time.
	s.acked = ack.Seq + 1
	wake(s.room)
	return ack, nil
}

// lastWordsLocked makes the reason of err, which ended the connection. It waits for Write: until Write has returned, nobody
// knows whether the batch it writes is one of those whose fate is unknown.
func (s *pipelinedSession) lastWordsLocked(err error) error {
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
	s.over = true
	wake(s.room)
	return s.reason
}

// withFate is the last word about batches in flight. A reason that Send gave is about a later batch, which was not taken: it
// says nothing about them, and Send gives it again when that batch comes again.
func (s *pipelinedSession) withFate(fate error) error {
	if s.reason == nil {
		return fmt.Errorf("%s: append: %w", s.name, fate)
	}
	return fmt.Errorf("%s: append: %w (nothing more was taken: %v)", s.name, fate, s.reason)
}

// Close closes the connection once. A second Close waits for the first and does nothing: once any Close has returned, the
// next session may be open, and a connection that is closed late could take batches of that session back.
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

// wake leaves a token for the one goroutine that may wait for it. One token is enough, because the goroutine looks again
// at everything when it gets the token.
func wake(token chan struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}
