package httpwire

import (
	"context"
	"fmt"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/backoff"
)

// Retry calls f until f succeeds, f says that another attempt is useless, more attempts have failed than the budget of p allows, or
// ctx is over. Then Retry returns the error of the last attempt. An attempt with an error for which [backend.Routine] is true does
// not count against the budget, because the server asked for another attempt. The pauses grow with every attempt, routine or not.
//
// f gets the number of the attempt, 1 for the first. before, if not nil, is called at the beginning of each pause. If ctx ends
// during a pause, the error wraps the error of ctx and the failure before the pause.
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
