package histories

import (
	"context"
	"errors"
	"sync"

	"github.com/headrace/headrace/backend"
)

// takings say how often each record may be in the store, by what the sessions said that took it.
type takings struct {
	mu   sync.Mutex
	most map[string]int
}

func newTakings() *takings { return &takings{most: make(map[string]int)} }

// A tap stands between a producer and its sink and listens.
type tap struct {
	backend.Sink
	h       *history
	takings *takings
	id      func(*backend.Record) string
	dedup   bool // the sink stores a record once for each appender
	once    bool // the producer is AtMostOnce
}

func (t *tap) NewAppender(f backend.Format) backend.Appender {
	return &tapAppender{Appender: t.Sink.NewAppender(f), tap: t, taken: make(map[string]int)}
}

type tapAppender struct {
	backend.Appender
	tap   *tap
	taken map[string]int // how often each record may be stored by this appender; guarded by the takings
}

func (a *tapAppender) Open(ctx context.Context) (backend.Session, error) {
	s, err := a.Appender.Open(ctx)
	if err != nil {
		return nil, err
	}
	return &tapSession{Session: s, appender: a}, nil
}

// mayHold counts one more copy of each of ids, because of the last words of a session or of an ack.
func (a *tapAppender) mayHold(ids []string, words error) {
	t := a.tap.takings
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, id := range ids {
		if a.tap.dedup && a.taken[id] > 0 {
			continue
		}
		a.taken[id]++
		t.most[id]++
		if a.tap.once && a.taken[id] > 1 {
			a.tap.h.errorf("a producer that is AtMostOnce may have stored record %s twice, at last when a session said: %v", id, words)
		}
	}
}

type tapSession struct {
	backend.Session
	appender *tapAppender

	mu    sync.Mutex
	open  []tapBatch
	words error // the last ones
}

type tapBatch struct {
	seq     uint64
	ids     []string
	sending bool // Send has not said yet whether it is taken
}

func (s *tapSession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	ids := make([]string, len(recs))
	for i := range recs {
		ids[i] = s.appender.tap.id(&recs[i])
	}
	s.mu.Lock()
	s.open = append(s.open, tapBatch{seq, ids, true})
	s.mu.Unlock()
	err := s.Session.Send(ctx, seq, recs)
	s.appender.tap.h.beat()
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.open {
		if b := &s.open[i]; b.seq == seq {
			b.sending = false
			switch {
			case err != nil: // not taken
				s.open = append(s.open[:i], s.open[i+1:]...)
			case s.words != nil:
				s.settle()
			}
			break
		}
	}
	return err
}

func (s *tapSession) Recv(ctx context.Context) (backend.Ack, error) {
	ack, err := s.Session.Recv(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.end(err)
		return ack, err
	}
	for len(s.open) > 0 && s.open[0].seq <= ack.Seq {
		s.appender.mayHold(s.open[0].ids, nil)
		s.open = s.open[1:]
	}
	return ack, nil
}

func (s *tapSession) Close() error {
	err := s.Session.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(backend.ErrClosed)
	return err
}

func (s *tapSession) end(words error) {
	if s.words == nil {
		s.words = words
	}
	s.settle()
}

// settle decides about the batches that were taken and not acknowledged. The words of a Close say nothing about them. A
// refusal with ErrIndeterminate means one of them, so it says of a single one that nothing is stored. Where the store knows
// a resend, ErrTransient alone does not say so.
func (s *tapSession) settle() {
	refusal := errors.Is(s.words, backend.ErrRejected) || errors.Is(s.words, backend.ErrTooLarge)
	unsure := errors.Is(s.words, backend.ErrIndeterminate) && !(refusal && len(s.open) == 1)
	may := s.appender.tap.dedup || unsure || errors.Is(s.words, backend.ErrClosed)
	var rest []tapBatch
	for _, b := range s.open {
		switch {
		case b.sending:
			rest = append(rest, b)
		case may:
			s.appender.mayHold(b.ids, s.words)
		}
	}
	s.open = rest
}
