package postgres

import (
	"context"

	"github.com/headrace/headrace/backend"
)

var _ backend.Resumer = (*Stream)(nil)

// Resume implements [backend.Resumer]. The database remembers the last batches under a name for ever.
//
// The name gets a prefix, because producers without a name have random names in the same column. The origin is empty: the
// numbers of a name are in the database, so the caller need not keep anything.
func (s *Stream) Resume(_ context.Context, f backend.Format, from backend.Resumption) (backend.Appender, string, error) {
	if err := from.Check(); err != nil {
		return nil, "", s.failed("resume", err)
	}
	return s.newAppender(f, from, "name:"+from.Name), "", nil
}
