package backendtest

import (
	"context"

	"github.com/headrace/headrace/backend"
)

// A toyName is what the toy knows of the appenders of one name.
type toyName struct{ acks map[uint64]toyAck }

type toyAck backend.Ack

func (a toyAck) at(seq uint64) backend.Ack {
	a.Seq = seq
	return backend.Ack(a)
}

// has reports whether the appender's batch is stored, by it or by another one of its name.
func (s *toy) has(a *toyAppender, seq uint64) bool {
	if a.name == nil || s.is("stores the resend of another process") || seq >= a.sent && s.is("lets an older process store a resend") {
		return false
	}
	_, ok := a.name.acks[a.base+seq]
	return ok
}

func (s *toy) Resume(_ context.Context, f backend.Format, from backend.Resumption) (backend.Appender, string, error) {
	if err := from.Check(); err != nil && !s.is("goes on for any name") {
		return nil, "", err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	name := s.names[from.Name]
	if name == nil {
		name = &toyName{acks: map[uint64]toyAck{}}
		if s.names == nil {
			s.names = map[string]*toyName{}
		}
		s.names[from.Name] = name
	}
	a := &toyAppender{toy: s, format: f, acks: map[uint64]backend.Ack{}, name: name, base: from.Seq, sent: from.Sent - from.Seq}
	return a, "toy", nil
}
