package s2_test

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/headrace/headrace/backend"
)

// A steadfast stream does for the rules of backendtest what producers and consumers do for their users. After a transient
// failure, a steadfast stream opens again, resends the batches in flight, and reads on behind the last record. Other errors
// pass.
type steadfast struct{ backend.Stream }

// again reports whether to try again after err. A caller who gave up or closed the stream wants the error.
func again(ctx context.Context, err error) bool {
	return (errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate)) && ctx.Err() == nil
}

// attempts in a row are many more than the faults of a rule.
const attempts = 20

func persist[T any](ctx context.Context, open func() (T, error)) (v T, err error) {
	for range attempts {
		if v, err = open(); err == nil || !again(ctx, err) {
			break
		}
	}
	return v, err
}

func (s steadfast) NewAppender(f backend.Format) backend.Appender {
	return steadyAppender{s.Stream.NewAppender(f)}
}

type steadyAppender struct{ backend.Appender }

func (a steadyAppender) Open(ctx context.Context) (backend.Session, error) {
	s, err := persist(ctx, func() (backend.Session, error) { return a.Appender.Open(ctx) })
	if err != nil {
		return nil, err
	}
	return &steadySession{appender: a.Appender, receiving: make(chan struct{}, 1), inner: s, moved: make(chan struct{})}, nil
}

type sentBatch struct {
	seq  uint64
	recs []backend.Record
}

type steadySession struct {
	appender  backend.Appender
	receiving chan struct{} // holds a token while somebody receives from inner; a reopening holds that and sending
	sending   sync.Mutex

	mu      sync.Mutex
	inner   backend.Session
	behind  bool          // inner has not taken all batches of unacked: a later batch would leave a gap
	moved   chan struct{} // closed when inner is another
	unacked []sentBatch
	acked   int
	acks    []backend.Ack // received by a reopening, for a later Recv
	final   bool          // Recv has told the caller, or a resend was refused: what inner says now is the end
	refusal error         // what Send refused a batch with: the end, once all batches before that one are acknowledged
	dead    error         // why there is no inner session any more
	closed  bool
}

func (s *steadySession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	s.sending.Lock()
	s.mu.Lock()
	inner, moved, behind := s.inner, s.moved, s.behind
	if err := s.refusal; err != nil {
		s.mu.Unlock()
		s.sending.Unlock()
		return err
	}
	s.unacked = append(s.unacked, sentBatch{seq, recs})
	s.mu.Unlock()
	err := error(backend.ErrTransient)
	if !behind {
		err = inner.Send(ctx, seq, recs)
	}
	s.sending.Unlock()
	if err == nil {
		return nil
	}
	s.mu.Lock()
	lost := again(ctx, err) || errors.Is(err, backend.ErrClosed)
	if s.closed || s.final || s.inner == inner && !lost {
		defer s.mu.Unlock()
		s.refusal = err
		s.unacked = s.unacked[:max(len(s.unacked)-1, 0)]
		return err
	}
	s.mu.Unlock()
	select {
	case <-moved: // and what was unacknowledged was sent there
		return nil
	case s.receiving <- struct{}{}:
		defer func() { <-s.receiving }()
		return s.replace(ctx, inner)
	}
}

func (s *steadySession) Recv(ctx context.Context) (backend.Ack, error) {
	s.receiving <- struct{}{}
	defer func() { <-s.receiving }()
	for {
		s.mu.Lock()
		inner := s.inner
		switch {
		case len(s.acks) > 0 && !s.closed:
			defer s.mu.Unlock()
			ack := s.acks[0]
			s.acks = s.acks[1:]
			return ack, nil
		case s.dead != nil:
			defer s.mu.Unlock()
			return backend.Ack{}, s.dead
		case s.refusal != nil && len(s.unacked) == 0 && !s.closed:
			defer s.mu.Unlock()
			return backend.Ack{}, s.refusal
		}
		s.mu.Unlock()
		ack, err := s.recv(ctx, inner)
		if err == nil {
			return ack, nil
		}
		s.mu.Lock()
		s.final = s.final || s.closed || !again(ctx, err)
		final := s.final
		s.mu.Unlock()
		if final {
			return backend.Ack{}, err
		}
		_ = s.replace(ctx, inner) // the next session's acks, or why there is none
	}
}

// recv receives an ack and forgets the acknowledged batches.
func (s *steadySession) recv(ctx context.Context, inner backend.Session) (backend.Ack, error) {
	ack, err := inner.Recv(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	for err == nil && len(s.unacked) > 0 && s.unacked[0].seq <= ack.Seq {
		s.unacked = s.unacked[1:]
		s.acked++
	}
	return ack, err
}

// keep receives an ack for a later Recv.
func (s *steadySession) keep(ctx context.Context, inner backend.Session) error {
	ack, err := s.recv(ctx, inner)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.acks = append(s.acks, ack)
	}
	return err
}

// replace opens a session in the place of the failed session, unless another call has done so. The caller holds receiving.
func (s *steadySession) replace(ctx context.Context, failed backend.Session) error {
	s.mu.Lock()
	moved, dead := s.inner != failed, s.dead
	s.mu.Unlock()
	if moved || dead != nil {
		return dead
	}
	for left, err := attempts, error(nil); ; left-- {
		if left == 0 {
			return s.die(fmt.Errorf("it fails whenever it is opened: %v", err))
		}
		before := s.progress()
		var next backend.Session
		next, err = s.reopen(ctx, failed)
		if s.progress() > before {
			left = attempts // each opening finds out about some batches of dead connections
		}
		switch {
		case err == nil:
			return nil
		case next == nil:
			return s.die(err)
		case !again(ctx, err): // the new session refuses a resend, and has acks for the batches before
			s.mu.Lock()
			defer s.mu.Unlock()
			s.final = true
			return err
		}
		failed = next
	}
}

// progress is the number of acknowledged batches.
func (s *steadySession) progress() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.acked
}

func (s *steadySession) die(why error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dead = why
	return why
}

// reopen takes the last words of the failed session and opens another session. An error together with a session is the error
// of the new session.
func (s *steadySession) reopen(ctx context.Context, failed backend.Session) (backend.Session, error) {
	var reason error
	for reason == nil {
		reason = s.keep(ctx, failed)
	}
	if !again(ctx, reason) {
		return nil, reason
	}
	_ = failed.Close()
	s.sending.Lock()
	defer s.sending.Unlock()
	next, err := persist(ctx, func() (backend.Session, error) { return s.appender.Open(ctx) })
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	unacked, closed := s.unacked, s.closed
	s.inner, s.behind = next, true
	close(s.moved)
	s.moved = make(chan struct{})
	s.mu.Unlock()
	if closed {
		_ = next.Close()
		return nil, backend.ErrClosed
	}
	for i, b := range unacked {
		if i >= s.appender.Limits().InFlight { // the last batch was waiting for room when the session failed
			if err := s.keep(ctx, next); err != nil {
				return next, err
			}
		}
		if err := next.Send(ctx, b.seq, b.recs); err != nil {
			return next, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behind = false
	return next, nil
}

func (s *steadySession) Close() error {
	s.mu.Lock()
	s.closed = true
	inner := s.inner
	s.mu.Unlock()
	err := inner.Close()
	s.receiving <- struct{}{} // wait for a running reopening
	<-s.receiving
	return err
}

func (s steadfast) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	r := &steadyReader{stream: s.Stream, at: from}
	inner, err := persist(ctx, func() (backend.Reader, error) { return s.Stream.OpenReader(ctx, from) })
	if err != nil {
		return nil, err
	}
	r.inner = inner
	return r, nil
}

type steadyReader struct {
	stream backend.Stream
	at     backend.Offset
	dead   error

	mu     sync.Mutex
	inner  backend.Reader
	closed bool
}

func (r *steadyReader) Read(ctx context.Context) (backend.Batch, error) {
	for {
		r.mu.Lock()
		inner := r.inner
		r.mu.Unlock()
		b, err := inner.Read(ctx)
		if err == nil {
			r.at = b.Next
			return b, nil
		}
		if r.dead != nil || !again(ctx, err) {
			r.dead = err
			return backend.Batch{}, err
		}
		_ = inner.Close()
		next, err := persist(ctx, func() (backend.Reader, error) { return r.stream.OpenReader(ctx, r.at) })
		if err != nil {
			r.dead = err
			return backend.Batch{}, err
		}
		r.mu.Lock()
		if r.inner = next; r.closed {
			_ = next.Close()
		}
		r.mu.Unlock()
	}
}

func (r *steadyReader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	return r.inner.Close()
}
