package consumer

import (
	"context"
	"log/slog"
	"time"
)

// An outage is a time in which something fails again and again. The operator is warned when it begins and when it ends: a
// warning for each attempt would bury both. The attempts in between are logged for debugging.
type outage struct {
	logger *slog.Logger
	begun  time.Time // zero: there is none
}

// failed logs one attempt that failed with err.
func (o *outage) failed(ctx context.Context, msg string, err error, args ...any) {
	level := slog.LevelDebug
	if o.begun.IsZero() {
		o.begun, level = time.Now(), slog.LevelWarn
	}
	o.logger.Log(ctx, level, msg, append(args, "err", err)...)
}

// over logs that it works again, if it did not.
func (o *outage) over(ctx context.Context, msg string, args ...any) {
	if o.begun.IsZero() {
		return
	}
	o.logger.WarnContext(ctx, msg, append(args, "after", time.Since(o.begun))...)
	o.begun = time.Time{}
}
