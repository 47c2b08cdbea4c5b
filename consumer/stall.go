package consumer

import (
	"context"
	"log/slog"
	"time"
)

// stallWarning is how long the low-water mark must stand still, while something waits for it, before a warning. The
// warning is repeated after each further stallWarning.
const stallWarning = time.Minute

// A stall watches the low-water mark while the loop or the reader waits for the mark to move. When records are finished
// by hand or by receipts, one forgotten record stops everything without an error. Therefore the warning names the
// forgotten record.
type stall struct {
	run    *run
	logger *slog.Logger
	ticks  *time.Ticker
	low    uint64    // the low-water mark at the last tick
	begun  time.Time // since when the mark has stood still
}

// stalls begins to watch. The caller calls look at each tick of ticks, and stops ticks when it has finished waiting.
func (r *run) stalls() *stall {
	return &stall{
		run: r, logger: r.retry.logger, ticks: time.NewTicker(stallWarning), low: r.track.low.Load(), begun: time.Now(),
	}
}

// look warns if the mark has not moved since the last tick. In the mode inOrder it never warns: there the body of the
// loop is still working on a record, and nothing was forgotten.
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
