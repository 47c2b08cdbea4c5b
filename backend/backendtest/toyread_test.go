package backendtest

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/headrace/headrace/backend"
)

func (s *toy) OpenReader(ctx context.Context, from backend.Offset) (backend.Reader, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("toy: open reader: %w: %w", backend.ErrTransient, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.missing {
		return nil, fmt.Errorf("toy: open reader: %w", backend.ErrNotFound)
	}
	at, err := s.find(from)
	if err != nil {
		return nil, fmt.Errorf("toy: open reader at %q: %w", from, err)
	}
	return &toyReader{toy: s, at: at, pin: from.Relative(), tail: len(s.recs)}, nil
}

func (s *toy) find(from backend.Offset) (int, error) {
	kept := len(s.recs) - s.trimmed
	if n, ok := from.LastN(); ok {
		return s.trimmed + max(kept-n, 0), nil
	}
	if t, ok := from.Since(); ok {
		i := slices.IndexFunc(s.recs[s.trimmed:], func(r backend.Record) bool { return !r.Time.Before(t) })
		if i < 0 {
			return len(s.recs), nil
		}
		return s.trimmed + i, nil
	}
	switch from {
	case backend.Earliest:
		return s.trimmed, nil
	case backend.Latest:
		return len(s.recs), nil
	}
	number, ok := strings.CutPrefix(string(from), "toy:")
	i, err := strconv.Atoi(number)
	if !ok || err != nil || toyOffset(i) != from {
		return 0, fmt.Errorf("%w: %w", backend.ErrOutOfRange, errNotToy)
	}
	if i < s.trimmed || i > len(s.recs) {
		return 0, backend.ErrOutOfRange
	}
	return i, nil
}

type toyReader struct {
	toy    *toy
	at     int
	tail   int
	pin    bool // the next Read does not wait
	told   bool // CaughtUp was said
	reason error
}

func (r *toyReader) Read(ctx context.Context) (backend.Batch, error) {
	var b backend.Batch
	var reason error
	err := r.toy.wait(ctx, func() bool {
		defer func() { reason = r.reason }()
		if r.reason != nil {
			return true
		}
		if r.at < r.toy.trimmed {
			r.reason = fmt.Errorf("toy: read: %w", backend.ErrOutOfRange)
			return true
		}
		if r.at == len(r.toy.recs) && !r.pin && r.told && !r.toy.finished {
			return false
		}
		end := min(len(r.toy.recs), r.at+7) // small, so that many Reads are needed
		if r.at == end && r.told && r.toy.finished {
			r.reason = io.EOF
			return true
		}
		for i := r.at; i < end; i++ {
			rec := clone(r.toy.recs[i])
			rec.Offset, rec.Next = toyOffset(i), toyOffset(i+1)
			b.Records = append(b.Records, rec)
		}
		r.at, r.pin = end, false
		b.Next = toyOffset(end)
		b.CaughtUp = end >= r.tail
		r.told = r.told || b.CaughtUp
		return true
	})
	if err != nil {
		reason = fmt.Errorf("toy: read: %w: %w", backend.ErrTransient, err)
		r.toy.update(func() { r.reason = reason })
	}
	return b, reason
}

func (r *toyReader) Close() error {
	r.toy.update(func() { r.reason = fmt.Errorf("toy: %w", backend.ErrClosed) })
	return nil
}
