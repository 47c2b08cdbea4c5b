package memory

import (
	"context"

	"github.com/headrace/headrace/backend"
)

var _ backend.Tailer = (*Stream)(nil)

// Tail returns the end of the stream, and the number of records between from and the end. Tail refuses the same offsets
// as OpenReader.
func (s *Stream) Tail(ctx context.Context, from backend.Offset) (backend.Tail, error) {
	return s.log.Tail(ctx, from)
}
