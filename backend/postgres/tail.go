package postgres

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
)

var _ backend.Tailer = (*Stream)(nil)

// Tail returns the end of the stream, and the number of committed records and bytes of values between from and the end.
// The numbers include records that readers do not see before the end of an older transaction. PostgreSQL counts the
// records one by one, and needs some milliseconds for 100,000 records.
func (s *Stream) Tail(ctx context.Context, from backend.Offset) (backend.Tail, error) {
	if err := ctx.Err(); err != nil {
		return backend.Tail{}, s.failed("tail of", fmt.Errorf("%w: %w", backend.ErrTransient, err))
	}
	v, err := s.view(ctx)
	if err != nil {
		return backend.Tail{}, s.failed("tail of", err)
	}
	// resolve refuses a place that is trimmed or not in the stream. A count from such a place would be wrong without an error.
	at, err := s.resolve(ctx, v, from)
	if err != nil {
		return backend.Tail{}, s.failed("tail of", err)
	}
	t := backend.Tail{Next: v.tail.offset()}
	// The count ends at the tail that view has returned, and not at the last record now. So Next and the numbers
	// belong together.
	err = s.db.pool.QueryRow(ctx, s.db.tables.sql(countSQL), v.id, at.turn, at.batch, at.no, v.tail.turn, v.tail.batch, v.tail.no).Scan(&t.Records, &t.Bytes)
	if err != nil {
		return backend.Tail{}, s.failed("tail of", classify(ctx, err))
	}
	return t, nil
}

const countSQL = `SELECT count(*), COALESCE(sum(octet_length(value)), 0)::bigint FROM headrace_records
	WHERE stream = $1 AND (turn, batch, no) >= ($2, $3, $4) AND (turn, batch, no) < ($5, $6, $7)`
