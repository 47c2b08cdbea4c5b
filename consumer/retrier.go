package consumer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
	"github.com/headrace/headrace/internal/outcome"
)

// retryable reports whether a read, a claim or a save that failed with err can be done again. Each of the three is safe
// to repeat even when the failed call has taken effect, so ErrTransient and ErrIndeterminate are treated alike.
func retryable(err error) bool {
	return errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate)
}

// A retrier repeats calls to the checkpoint store that failed.
type retrier struct {
	backoff.Policy
	logger *slog.Logger
}

// do calls f until f succeeds, fails for good, or has used up the budget of the policy. When ctx ends, do stops
// waiting; f must watch ctx itself. The text what completes "could not …" in the log.
func (r retrier) do(ctx context.Context, what string, f func(attempt int) error) error {
	down := outage{logger: r.logger}
	for attempt := 1; ; attempt++ {
		err := f(attempt)
		if err == nil {
			down.recovered(ctx, "consumer: could "+what+" again", "attempt", attempt)
			return nil
		}
		down.failed(ctx, "consumer: could not "+what, err, "attempt", attempt)
		if !retryable(err) || ctx.Err() != nil {
			return err
		}
		if attempt > r.Budget {
			return gaveUp(attempt, err)
		}
		if !backoff.Sleep(ctx, r.Delay(attempt, err)) {
			return err
		}
	}
}

// gaveUp returns the error after the last attempt. It does not wrap [backend.ErrTransient], because the consumer will not
// try again: a caller that repeats whatever is transient would repeat without end.
func gaveUp(attempts int, err error) error {
	meaning := outcome.Of(err)
	meaning.Retry = false
	return meaning.Error(fmt.Errorf("gave up after %d attempts without progress: %w", attempts, err))
}
