package s2

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/headrace/headrace/backend"
)

var _ backend.Resumer = (*Stream)(nil)

// Resume implements [backend.Resumer]. Nobody else may write to the stream, because the appender recognizes a resend by its position,
// as with [Exclusive]. The origin is the position of the first batch of the name. [Fence] has no effect, because the command records
// of a fence would take positions.
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

// origin returns the position of the first batch of the name. For a new name, that is the tail now. For a known name, from holds
// the origin, and the tail must not be asked again: batches of the name may be stored already.
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
	if errors.As(err, &refused) && refused.Code == codeStreamNotFound {
		return 0, nil // the first append may create the stream
	}
	return tail.SeqNum, err
}

// uncounted stands for the number of records of a batch that another process may have stored. placeLocked replaces uncounted by the
// number when the caller sends the batch.
const uncounted = -1

// resumed makes an appender whose first batch goes to position next. The given number of batches may be stored already.
func (s *Stream) resumed(next uint64, batches int) backend.Appender {
	a := s.newAppender(sizeOfData)
	a.placed, a.next, a.taken = true, next, make([]int, batches)
	for i := range a.taken {
		a.taken[i] = uncounted
	}
	return s.pipelined(a)
}
