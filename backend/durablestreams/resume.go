package durablestreams

import (
	"context"
	"fmt"
	"strconv"

	"github.com/headrace/headrace/backend"
)

var _ backend.Resumer = (*Stream)(nil)

// Resume implements [backend.Resumer]. The name is the producer's id. Its epoch is the number of the batch that it begins with, so that a
// server which has forgotten the producer begins anew with it: that is the origin. The options [ProducerID] and [Epoch] have no meaning
// here.
func (s *Stream) Resume(_ context.Context, f backend.Format, from backend.Resumption) (backend.Appender, string, error) {
	if err := from.Check(); err != nil {
		return nil, "", s.failed("resume", err)
	}
	first := from.Seq
	if from.Sent > from.Seq {
		n, err := strconv.ParseUint(from.Origin, 10, 53)
		if err != nil || n > from.Seq {
			return nil, "", s.failed("resume", fmt.Errorf("%w: the origin %.40q is not one of this store", backend.ErrRejected, from.Origin))
		}
		first = n
	}
	e := s.encodingOf(f)
	a := s.newAppender(e)
	a.id, a.randomID, a.epochGiven, a.resumed = from.Name, false, true, true
	a.epoch = int64(first)
	a.base = first - from.Seq // below 0: the appender counts from from.Seq, the server from first
	a.highest = int64(from.Sent-first) - 1
	return s.pipe(a), strconv.FormatUint(first, 10), nil
}
