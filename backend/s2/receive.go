package s2

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2/internal/s2s"
	"github.com/headrace/headrace/backend/s2/internal/wire"
)

// receive reads the answers until there are no more. It also notices the end of a connection on which nothing is asked.
func (s *session) receive() {
	defer close(s.done)
	defer s.body.Close()
	coder, _ := s2s.NewCoder(s2s.None) // only opens
	defer coder.Close()
	for {
		flags, payload, err := s.frames.Borrow()
		if err == nil {
			err = s.frame(coder, flags, payload)
		}
		if err != nil {
			s.ended(err)
			return
		}
	}
}

// frame takes one frame from the server: an ack, or the reason why there are no more.
func (s *session) frame(coder *s2s.Coder, flags s2s.Flags, payload []byte) error {
	if flags.Terminal() {
		status, body, err := s2s.Terminal(payload)
		if err != nil {
			return err
		}
		return parseError(status, body, s.stream.secrets())
	}
	payload, err := coder.Open(flags, payload)
	if err != nil {
		return err
	}
	ack, err := wire.DecodeAck(payload)
	if err != nil {
		return &ProtocolError{err}
	}
	return s.answer(ack, flags.Reconnect())
}

// answer matches an ack with the batch it is for.
func (s *session) answer(ack wire.Ack, reconnect bool) error {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.answered == len(s.inflight) {
		return protocolErrorf("an ack for no batch, of %d to %d", ack.Start.SeqNum, ack.End.SeqNum)
	}
	b := &s.inflight[s.answered]
	start, end := ack.Start.SeqNum, ack.End.SeqNum
	switch {
	case end < start || end-start != uint64(b.n):
		return protocolErrorf("ack of %d to %d for a batch of %d records", start, end, b.n)
	case s.acked && start < s.last:
		return protocolErrorf("ack of %d to %d behind one that ended at %d", start, end, s.last)
	case s.stream.cfg.exclusive && start != b.at:
		return protocolErrorf("ack of %d to %d for a batch that had to go to %d", start, end, b.at)
	}
	b.at, b.ack = start, ack
	s.answered++
	s.acks++
	s.last, s.acked = end, true
	if reconnect && s.reason == nil && adviceDue(a.left) {
		a.left = time.Now()
		s.end(fmt.Errorf("s2: %s: %w: %w", s.op(), backend.ErrTransient, errAdvised))
	}
	wake(s.recv)
	return nil
}

var errEnded = errors.New("the server ended the session")

// ended is the end of the connection. A reason that Send gave stays; otherwise it is made of err.
func (s *session) ended(err error) {
	a := s.appender
	a.mu.Lock()
	defer a.mu.Unlock()
	s.over = true
	s.out.stop() // nobody would answer what leaves from now on, and what has left is what classify goes by
	unanswered := len(s.inflight) - s.answered
	switch {
	case s.told: // it has been acted on
	case s.reason == nil:
		s.reason = fmt.Errorf("s2: %s: %w", s.op(), s.classify(err))
	case unanswered > 0:
		s.reason = s.besides(s.classify(err))
	}
	wake(s.recv)
	wake(s.send)
}

// besides joins the reason that Send gave with the fate of the batches before, which were not answered either. That
// nothing was wrong with them, or that Send's own batch was not stored, says nothing of them: only a refusal stays, and
// may mean any of them. The lock is held.
func (s *session) besides(fate error) error {
	if errors.Is(s.reason, backend.ErrTransient) {
		return fmt.Errorf("s2: %s: %w (at its end: %v)", s.op(), fate, s.reason)
	}
	err := fmt.Errorf("%w, and before it: %w", s.reason, fate)
	if !errors.Is(err, backend.ErrIndeterminate) {
		err = fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
	}
	return err
}

// classify says what the end of the connection means for what is not answered. The lock is held.
func (s *session) classify(err error) error {
	unanswered := len(s.inflight) - s.answered
	if errors.Is(err, io.EOF) {
		err = errEnded
	}
	var fe *s2s.FormatError
	if errors.As(err, &fe) {
		err = &ProtocolError{err}
	}
	var se *Error
	if errors.As(err, &se) {
		v := judge(err)
		head := unanswered > 0 && s.inflight[s.answered].resent
		switch {
		case se.Code == CodeSeqNumMismatch && head && s.stream.cfg.exclusive:
			// What an earlier connection sent may have landed since this session looked, or may still be on its way.
			return fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, err)
		case v.kind != nil:
			return fmt.Errorf("%w: %w", v.kind, err)
		case v.clean && !v.retryable:
			return err
		case v.clean || unanswered == 0:
			return fmt.Errorf("%w: %w", backend.ErrTransient, err)
		}
		return s.unknown(err)
	}
	err = s.stream.client().redact(err)
	var pe *ProtocolError
	switch {
	case unanswered == 0 && errors.As(err, &pe):
		return err
	case s.out.started() <= s.acks:
		return fmt.Errorf("%w: %w", backend.ErrTransient, err) // nothing that is unanswered had left
	}
	return s.unknown(err)
}

// unknown is an outcome that only the stream can tell. Exclusive appends will ask it.
func (s *session) unknown(err error) error {
	if s.stream.cfg.exclusive {
		return fmt.Errorf("%w: %w: %w", backend.ErrTransient, backend.ErrIndeterminate, err)
	}
	return fmt.Errorf("%w: %w", backend.ErrIndeterminate, err)
}

// interrupted classifies the end of Recv's context. The lock is held.
func (s *session) interrupted(err error) error {
	if len(s.inflight) == 0 {
		return fmt.Errorf("%w: %w", backend.ErrTransient, err)
	}
	return s.unknown(err)
}
