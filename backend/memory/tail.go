package memory

import (
	"context"

	"github.com/headrace/headrace/backend"
)

var _ backend.Tailer = (*Stream)(nil)

// Tail returns where the stream ends and how many records lie between from and there. It refuses what OpenReader
// refuses.
func (s *Stream) Tail(ctx context.Context, from backend.Offset) (backend.Tail, error) {
	return s.log.Tail(ctx, from)
}
