package consumer

import (
	"context"
	"log/slog"
	"time"
)

// An outage is a time of repeated failures of an operation. The operator gets a warning when the outage begins and
// another warning when the outage ends. A warning for each attempt would bury both; therefore the attempts in between are
// logged at debug level.
type outage struct {
	logger *slog.Logger
	begun  time.Time // zero while nothing fails
}

// failed logs an attempt that failed with err.
func (o *outage) failed(ctx context.Context, msg string, err error, args ...any) {
	level := slog.LevelDebug
	if o.begun.IsZero() {
		o.begun, level = time.Now(), slog.LevelWarn
	}
	o.logger.Log(ctx, level, msg, append(args, "err", err)...)
}

// recovered logs that the operation works again. It logs nothing when there was no outage.
func (o *outage) recovered(ctx context.Context, msg string, args ...any) {
	if o.begun.IsZero() {
		return
	}
	o.logger.WarnContext(ctx, msg, append(args, "after", time.Since(o.begun))...)
	o.begun = time.Time{}
}
