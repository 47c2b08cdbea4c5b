package s2

import (
	"context"
	"errors"
	"fmt"

	"github.com/headrace/headrace/backend"
)

var _ backend.Tailer = (*Stream)(nil)

// Tail returns where the stream ends and how many records lie between from and there, command records included. It costs
// two requests: one record is read at from, because only a read tells whether from is a place that is not trimmed.
func (s *Stream) Tail(ctx context.Context, from backend.Offset) (backend.Tail, error) {
	t, err := s.tailFrom(ctx, from)
	if err != nil {
		return backend.Tail{}, fmt.Errorf("s2: %s: %w", s.op("look up the tail of"), err)
	}
	return t, nil
}

func (s *Stream) tailFrom(ctx context.Context, from backend.Offset) (backend.Tail, error) {
	if _, err := startQuery(from); err != nil {
		return backend.Tail{}, err
	}
	suffix := ""
	if !s.cfg.bareOffsets {
		var err error
		if suffix, err = s.holdIncarnation(ctx); err != nil {
			return backend.Tail{}, repeatableMeaning(err)
		}
		defer s.releaseIncarnation()
	}
	if err := s.sameIncarnation(from, suffix); err != nil {
		return backend.Tail{}, err
	}
	// The record is read before the tail is asked. In the other order, the tail could lie before the record, and the count would
	// be negative.
	first, found, err := s.firstSeq(ctx, from)
	if err != nil {
		return backend.Tail{}, repeatableMeaning(err)
	}
	end, err := s.CheckTail(ctx)
	if err != nil {
		return backend.Tail{}, repeatableMeaning(err)
	}
	// No record lies behind from: from is the tail, or everything behind from is trimmed.
	if !found {
		first = end.SeqNum
	}
	// A relative place never is out of range: it means the nearest record that is left.
	if from.Relative() {
		return backend.Tail{Next: offsetIn(end.SeqNum, suffix), Records: int64(end.SeqNum - min(first, end.SeqNum)), Bytes: -1}, nil
	}
	seq, err := SeqNum(from)
	switch {
	case err != nil:
		return backend.Tail{}, err
	case seq > end.SeqNum:
		return backend.Tail{}, fmt.Errorf("%d is beyond the tail %d: %w", seq, end.SeqNum, backend.ErrOutOfRange)
	// The record behind from is gone. A consumer that starts at from would get the same refusal from its reader.
	case found && first != seq:
		return backend.Tail{}, fmt.Errorf("%d is trimmed, the first record kept is %d: %w", seq, first, backend.ErrOutOfRange)
	}
	return backend.Tail{Next: offsetIn(end.SeqNum, suffix), Records: int64(end.SeqNum - seq), Bytes: -1}, nil
}

// firstSeq returns the number of the first record from a place on. It finds none at the tail and beyond.
func (s *Stream) firstSeq(ctx context.Context, from backend.Offset) (seq uint64, found bool, err error) {
	if from == backend.Latest {
		return 0, false, nil
	}
	got, err := s.Read(ctx, Range{From: from, Count: 1})
	if errors.Is(err, backend.ErrOutOfRange) || err == nil && len(got.Records) == 0 {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, err
	}
	seq, err = SeqNum(got.Records[0].Offset)
	return seq, err == nil, err
}
