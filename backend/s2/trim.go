package s2

import (
	"context"
	"fmt"

	"github.com/headrace/headrace/backend"
)

// Trim drops the records before the place before. The [backend.Record.Next] of a record drops that record and all records in
// front of it; [backend.Latest] drops all. If the place is already trimmed, Trim changes nothing. A place beyond the tail, or
// in a deleted stream of the same name, is [backend.ErrOutOfRange]. Trim returns when the command is durable; S2 removes the
// records later. [TrimRecord] makes the command for an append with a condition.
func (s *Stream) Trim(ctx context.Context, before backend.Offset) error {
	op := s.op("trim")
	tail, err := s.tail(ctx, op)
	if err != nil || before == backend.Earliest {
		return err
	}
	seq := tail.SeqNum
	if before != backend.Latest {
		if seq, err = s.trimPoint(ctx, before, tail); err != nil {
			return fmt.Errorf("s2: %s: %w", op, err)
		}
	}
	// A trim to 0 drops nothing, and its command record would take a position in the stream.
	if seq > 0 {
		_, err = s.append(ctx, op, []backend.Record{TrimRecord(seq)}, Condition{FencingToken: s.cfg.token})
	}
	return err
}

// trimPoint returns the sequence number of a place, if the place is one in this stream.
func (s *Stream) trimPoint(ctx context.Context, before backend.Offset, tail Position) (uint64, error) {
	seq, err := SeqNum(before)
	if err != nil {
		return 0, err
	}
	// S2 accepts a trim beyond the tail and drops everything. A wrong offset would cost the caller the whole stream.
	if seq > tail.SeqNum {
		return 0, fmt.Errorf("%q is beyond the tail, which is at %d: %w", before, tail.SeqNum, backend.ErrOutOfRange)
	}
	if before == At(seq) {
		return seq, nil // a bare number is a place in any stream
	}
	suffix, err := s.askIncarnation(ctx)
	if err != nil {
		return 0, repeatableMeaning(err)
	}
	return seq, s.sameIncarnation(before, suffix)
}
