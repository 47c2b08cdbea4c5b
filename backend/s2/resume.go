package s2

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/headrace/headrace/backend"
)

var _ backend.Resumer = (*Stream)(nil)

// Resume implements [backend.Resumer]. It needs a stream that nobody else writes to: a resend is known by its place, as with [Exclusive].
// The origin is where the first batch of the name is. [Fence] has no effect, because its command records would take places.
func (s *Stream) Resume(ctx context.Context, _ backend.Format, from backend.Resumption) (backend.Appender, string, error) {
	if err := from.Check(); err != nil {
		return nil, "", fmt.Errorf("s2: %s: %w", s.op("resume"), err)
	}
	own := *s
	own.cfg.exclusive, own.cfg.fence = true, false
	begin, err := own.origin(ctx, from)
	if err != nil {
		return nil, "", err
	}
	return own.resumed(begin+from.Records, int(from.Sent-from.Seq)), strconv.FormatUint(begin, 10), nil
}

// origin is kept for the life of the name: it is the tail at its very beginning.
func (s *Stream) origin(ctx context.Context, from backend.Resumption) (uint64, error) {
	if from.Origin != "" || from.Sent > 0 {
		begin, err := strconv.ParseUint(from.Origin, 10, 63)
		if err != nil {
			return 0, fmt.Errorf("s2: %s: %w: the origin %.40q is not one of this store", s.op("resume"), backend.ErrRejected, from.Origin)
		}
		return begin, nil
	}
	tail, err := s.CheckTail(ctx)
	var refused *Error
	if errors.As(err, &refused) && refused.Code == "stream_not_found" {
		return 0, nil // the first append may make it
	}
	return tail.SeqNum, err
}

// uncounted is the number of records of a batch that another process may have stored. The batch says it when it comes.
const uncounted = -1

// resumed makes an appender whose first batch goes to next, and whose first batches may be stored.
func (s *Stream) resumed(next uint64, batches int) backend.Appender {
	a := s.newAppender(size)
	a.placed, a.next, a.taken = true, next, make([]int, batches)
	for i := range a.taken {
		a.taken[i] = uncounted
	}
	return s.pipelined(a)
}
