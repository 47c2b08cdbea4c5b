package durablestreams

import (
	"context"
	"fmt"
	"strconv"

	"github.com/headrace/headrace/backend"
)

var _ backend.Resumer = (*Stream)(nil)

// Resume implements [backend.Resumer]. The name is the producer's id, and the origin is the producer's epoch. The epoch is the number of
// the first batch in the epoch, counted over all processes: while batches may be stored, from.Origin holds the epoch and the epoch
// stays. Otherwise the epoch begins at from.Seq. Then a server that has forgotten the producer in between takes the next batch as the
// first of an epoch. The options [ProducerID] and [Epoch] have no meaning here.
func (s *Stream) Resume(_ context.Context, f backend.Format, from backend.Resumption) (backend.Appender, string, error) {
	if err := from.Check(); err != nil {
		return nil, "", s.failed("resume", err)
	}
	first := from.Seq
	// The batches from.Seq, …, from.Sent-1 may be stored, and the server recognizes them only in their old epoch.
	if from.Sent > from.Seq {
		n, err := strconv.ParseUint(from.Origin, 10, 53) // 53 bits: maxNumber
		if err != nil || n > from.Seq {
			return nil, "", s.failed("resume", fmt.Errorf("%w: the origin %.40q is not one of this store", backend.ErrRejected, from.Origin))
		}
		first = n
	}
	e := s.encodingOf(f)
	a := s.newAppender(e)
	a.id, a.randomID, a.epochGiven, a.resumed = from.Name, false, true, true
	a.epoch = int64(first)
	// The server counts from first, and this appender counts its seq from from.Seq: sequence = seq + from.Seq - first. The base is
	// first - from.Seq, at most 0. As a uint64 the base wraps around, and the subtraction of the base wraps back.
	a.base = first - from.Seq
	// Everything up to here counts as sent before, so an answer "duplicate" is an ack and not a rival.
	a.highest = int64(from.Sent-first) - 1
	return s.pipelined(a), strconv.FormatUint(first, 10), nil
}
