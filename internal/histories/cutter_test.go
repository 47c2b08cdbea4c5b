package histories

import (
	"context"
	"math/rand/v2"
	"sync"

	"github.com/headrace/headrace/backend"
)

// A cutter cuts connections at random right below the producer, so that the store's own knowledge of resends is put to the
// test: a FlakySink answers for the store. The last words are the store's own.
type cutter struct {
	backend.Sink
	p float64

	mu   sync.Mutex
	dice *rand.Rand
	live map[*cutSession]bool
	cuts int
}

func newCutter(sink backend.Sink, p float64, dice *rand.Rand) *cutter {
	return &cutter{Sink: sink, p: p, dice: dice, live: make(map[*cutSession]bool)}
}

// Break cuts all connections.
func (c *cutter) Break(error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for s := range c.live {
		s.cut()
	}
	c.cuts += len(c.live)
}

// Injected tells how often a connection was cut.
func (c *cutter) Injected() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return map[string]int{"Cut": c.cuts}
}

func (c *cutter) NewAppender(f backend.Format) backend.Appender {
	return &cutAppender{c.Sink.NewAppender(f), c}
}

type cutAppender struct {
	backend.Appender
	cutter *cutter
}

func (a *cutAppender) Open(ctx context.Context) (backend.Session, error) {
	below, err := a.Appender.Open(ctx)
	if err != nil {
		return nil, err
	}
	s := &cutSession{Session: below, cutter: a.cutter, over: make(chan struct{})}
	a.cutter.mu.Lock()
	a.cutter.live[s] = true
	a.cutter.mu.Unlock()
	return s, nil
}

type cutSession struct {
	backend.Session
	cutter *cutter
	once   sync.Once
	over   chan struct{}
}

func (s *cutSession) cut() { s.once.Do(func() { close(s.over) }) }

func (s *cutSession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	err := s.Session.Send(ctx, seq, recs)
	s.cutter.mu.Lock()
	defer s.cutter.mu.Unlock()
	if chance(s.cutter.dice, s.cutter.p) {
		s.cut()
		s.cutter.cuts++
	}
	return err
}

// Recv ends with the store's words about a Recv that is given up, when the connection is cut.
func (s *cutSession) Recv(ctx context.Context) (backend.Ack, error) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		select {
		case <-s.over:
			cancel()
		case <-done:
		}
	})
	defer func() { close(done); watch.Wait(); cancel() }()
	return s.Session.Recv(ctx)
}

func (s *cutSession) Close() error {
	s.cutter.mu.Lock()
	delete(s.cutter.live, s)
	s.cutter.mu.Unlock()
	return s.Session.Close()
}
