package httpwire

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
)

// Retry calls f until it succeeds, and otherwise returns the error of the last attempt: f says that another attempt is of
// no use, the budget of p is used up, or ctx is over. An error for which [backend.Routine] is true costs no budget: the
// server asks for another attempt and nothing failed. f is given the number of the attempt, 1 for the first. before, if not
// nil, is told of each pause before the pause begins.
//
// When ctx ends during a pause, the error is that of ctx and wraps the failure before it too.
func Retry(ctx context.Context, p backoff.Policy, f func(attempt int) (again bool, err error), before func(attempt int, pause time.Duration, err error)) error {
	for attempt, failures := 1, 0; ; attempt++ {
		again, err := f(attempt)
		if err == nil {
			return nil
		}
		if !backend.Routine(err) {
			failures++
		}
		if !again || failures > p.Budget || ctx.Err() != nil {
			return err
		}
		pause := p.Delay(attempt, err)
		if before != nil {
			before(attempt, pause, err)
		}
		if !backoff.Sleep(ctx, pause) {
			return fmt.Errorf("%w, after: %w", ctx.Err(), err)
		}
	}
}
