package producer_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/producer"
)

// slowClose is a sink whose sessions take a second to close, and whose Close fails then. As [backend.Session] says, a second
// Close does nothing: it does not wait for the first.
type slowClose struct {
	t       *testing.T
	silent  bool         // batches are not acknowledged
	running atomic.Int64 // sessions whose Close has not returned
}

func (c *slowClose) NewAppender(backend.Format) backend.Appender { return c }
func (c *slowClose) Limits() backend.Limits                      { return backend.Limits{} }

func (c *slowClose) Open(context.Context) (backend.Session, error) {
	if n := c.running.Add(1); n > 1 {
		c.t.Errorf("a session is opened while %d others run", n-1)
	}
	return &slowCloseSession{slowClose: c, acks: make(chan uint64, 100), over: make(chan struct{})}, nil
}

type slowCloseSession struct {
	*slowClose
	acks chan uint64
	over chan struct{}
	once sync.Once
}

func (s *slowCloseSession) Send(_ context.Context, seq uint64, _ []backend.Record) error {
	if !s.silent {
		s.acks <- seq
	}
	return nil
}

func (s *slowCloseSession) Recv(ctx context.Context) (backend.Ack, error) {
	select {
	case seq := <-s.acks:
		return backend.Ack{Seq: seq}, nil
	case <-s.over:
		return backend.Ack{}, backend.ErrClosed
	}
}

func (s *slowCloseSession) Close() (err error) {
	first := false
	s.once.Do(func() { first = true })
	if !first {
		return nil
	}
	close(s.over)
	time.Sleep(time.Second)
	s.running.Add(-1)
	return errors.New("the goodbye got lost")
}

// However a session ends, it is closed before the next one is opened, and before Close of the producer returns. An error of its
// Close is logged.
func TestSessionIsClosedBeforeAnythingElse(t *testing.T) {
	for name, test := range map[string]struct {
		silent bool
		use    func(t *testing.T, p *producer.Producer[string])
		lost   int // sessions that end before Close
	}{
		"idle": {false, func(t *testing.T, p *producer.Producer[string]) {
			for _, v := range numbered(3) {
				if err := p.Send(t.Context(), v); err != nil {
					t.Error(err)
				}
				time.Sleep(12 * time.Second)
			}
		}, 3},
		"records come while the idle session is closed": {false, func(t *testing.T, p *producer.Producer[string]) {
			time.Sleep(5*time.Second + 500*time.Millisecond)
			if err := p.Send(t.Context(), "a"); err != nil {
				t.Error(err)
			}
		}, 1},
		"an ack is overdue": {true, func(t *testing.T, p *producer.Producer[string]) {
			enqueue(t, p, "a")
			time.Sleep(10 * time.Second)
		}, 3},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				sink := &slowClose{t: t, silent: test.silent}
				var log bytes.Buffer
				p := open(t, sink, producer.IdleTimeout(5*time.Second), producer.AckTimeout(2*time.Second), producer.Backoff(0, 0),
					producer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
				test.use(t, p)
				ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				defer cancel()
				_ = p.Shutdown(ctx)
				if n := sink.running.Load(); n > 0 {
					t.Errorf("%d sessions run after the end of the producer", n)
				}
				if n, sessions := strings.Count(log.String(), "the goodbye got lost"), p.Stats().Sessions; n != int(sessions) || int(sessions) < test.lost {
					t.Errorf("%d sessions, %d errors of their Close are logged:\n%s", sessions, n, &log)
				}
			})
		})
	}
}
