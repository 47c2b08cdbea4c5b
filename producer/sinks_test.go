package producer_test

import (
	"context"

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
