package consumer

import (
	"context"
	"log/slog"
	"time"
)

// stallWarning is how long the low-water mark stands still, while something waits for it, before each warning.
const stallWarning = time.Minute

// A stall watches the low-water mark while something waits for it to move. Where records are finished by hand or by
// receipts, a record that was forgotten stops everything without an error, so the operator is told which one it is.
type stall struct {
	run    *run
	logger *slog.Logger
	ticks  *time.Ticker
	low    uint64 // the mark at the last tick
	begun  time.Time
}

// stalls begins to watch. The caller looks at each of ticks, and stops them.
func (r *run) stalls() *stall {
	return &stall{
		run: r, logger: r.retry.logger, ticks: time.NewTicker(stallWarning), low: r.track.low.Load(), begun: time.Now(),
	}
}

// look warns if the mark has not moved since the last tick. A loop that acknowledges by asking for the next record is not
// stalled: its body is at work.
func (s *stall) look(ctx context.Context, msg string) {
	low := s.run.track.low.Load()
	if low != s.low {
		s.low, s.begun = low, time.Now()
		return
	}
	if s.run.mode == inOrder {
		return
	}
	_, at, _ := s.run.track.oldest()
	s.logger.WarnContext(ctx, msg, "oldest", at, "for", time.Since(s.begun))
}
