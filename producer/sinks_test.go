package producer_test

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/headrace/headrace/backend"
)

// shrinking is a sink whose BatchRecords is 10 at the first opening and 3 from then on.
type shrinking struct {
	backend.Sink
	largest int // batch sent since
}

func (s *shrinking) NewAppender(f backend.Format) backend.Appender {
	return &shrinkingAppender{Appender: s.Sink.NewAppender(f), sink: s}
}

type shrinkingAppender struct {
	backend.Appender
	sink   *shrinking
	opened int
}

func (a *shrinkingAppender) Limits() backend.Limits {
	if a.opened > 1 {
		return backend.Limits{BatchRecords: 3}
	}
	return backend.Limits{BatchRecords: 10}
}

func (a *shrinkingAppender) Open(ctx context.Context) (backend.Session, error) {
	a.opened++
	s, err := a.Appender.Open(ctx)
	if err != nil || a.opened == 1 {
		return s, err
	}
	return &measuring{Session: s, sink: a.sink}, nil
}

type measuring struct {
	backend.Session
	sink *shrinking
}

func (m *measuring) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	m.sink.largest = max(m.sink.largest, len(recs))
	return m.Session.Send(ctx, seq, recs)
}

// gated is a sink whose acks are sent by the test. It keeps what each batch's records were, without their values.
type gated struct {
	acks chan uint64
	sent []backend.Record // of the sender's goroutine, until their ack
}

func newGated() *gated { return &gated{acks: make(chan uint64)} }

func (g *gated) NewAppender(backend.Format) backend.Appender { return g }
func (g *gated) Limits() backend.Limits                      { return backend.Limits{} }
func (g *gated) Open(context.Context) (backend.Session, error) {
	return &gatedSession{gated: g, over: make(chan struct{})}, nil
}

type gatedSession struct {
	*gated
	over chan struct{}
	once sync.Once
}

func (s *gatedSession) Send(_ context.Context, _ uint64, recs []backend.Record) error {
	for _, r := range recs {
		s.sent = append(s.sent, backend.Record{Time: r.Time, Headers: r.Headers, Offset: r.Offset, Next: r.Next})
	}
	return nil
}

func (s *gatedSession) Recv(ctx context.Context) (backend.Ack, error) {
	select {
	case seq := <-s.acks:
		return backend.Ack{Seq: seq}, nil
	case <-s.over:
		return backend.Ack{}, backend.ErrClosed
	case <-ctx.Done():
		return backend.Ack{}, ctx.Err()
	}
}

func (s *gatedSession) Close() error { s.once.Do(func() { close(s.over) }); return nil }

// choosy is a sink whose Send refuses batches with a bad record. Its sessions go on after that.
type choosy struct{ backend.Sink }

func (c choosy) NewAppender(f backend.Format) backend.Appender {
	return choosyAppender{c.Sink.NewAppender(f)}
}

type choosyAppender struct{ backend.Appender }

func (a choosyAppender) Open(ctx context.Context) (backend.Session, error) {
	s, err := a.Appender.Open(ctx)
	if err != nil {
		return nil, err
	}
	return choosySession{s}, nil
}

type choosySession struct{ backend.Session }

func (s choosySession) Send(ctx context.Context, seq uint64, recs []backend.Record) error {
	if slices.ContainsFunc(recs, func(r backend.Record) bool { return bad(&r) }) {
		return fmt.Errorf("%w by Send", backend.ErrRejected)
	}
	return s.Session.Send(ctx, seq, recs)
}
