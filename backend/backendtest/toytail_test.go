package backendtest

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
)

func (s *toy) Tail(ctx context.Context, from backend.Offset) (backend.Tail, error) {
	if err := ctx.Err(); err != nil {
		return backend.Tail{}, fmt.Errorf("toy: tail: %w: %w", backend.ErrTransient, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := s.find(from)
	switch {
	case err != nil && s.is("sees the tail from anywhere"):
		at = s.trimmed
	case err != nil:
		return backend.Tail{}, fmt.Errorf("toy: tail from %q: %w", from, err)
	}
	t := backend.Tail{Next: toyOffset(len(s.recs)), Records: int64(len(s.recs) - at), Bytes: -1}
	switch {
	case s.is("counts to the last record"):
		t.Records = max(t.Records-1, 0)
	case s.is("has its tail at the last record") && len(s.recs) > 0:
		t.Next = toyOffset(len(s.recs) - 1)
	}
	return t, nil
}
