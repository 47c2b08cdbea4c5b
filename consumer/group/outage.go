package group

import (
	"context"
	"log/slog"
	"time"
)

// An outage is a time without a successful renewal. The operator gets a warning when an outage begins and when the outage
// ends.
type outage struct {
	log   *slog.Logger
	begun time.Time // zero while renewals succeed
}

func (o *outage) failed(ctx context.Context, err error) {
	if o.begun.IsZero() {
		o.begun = time.Now()
		o.log.WarnContext(ctx, "group: could not renew the leases", "err", err)
	}
}

func (o *outage) recovered(ctx context.Context) {
	if !o.begun.IsZero() {
		o.log.WarnContext(ctx, "group: renewed the leases again", "after", time.Since(o.begun))
		o.begun = time.Time{}
	}
}
