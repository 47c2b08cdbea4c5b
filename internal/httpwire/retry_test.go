package httpwire_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/internal/backoff"
	"github.com/headrace/headrace/internal/httpwire"
)

type leaving struct{ error }

func (leaving) Routine() bool { return true }

func TestRetryEndsAsItsAttemptsSay(t *testing.T) {
	failure := errors.New("no answer")
	policy := backoff.Policy{Base: time.Second, Max: 4 * time.Second, Budget: 2}
	for name, c := range map[string]struct {
		fails    func(attempt int) (bool, error)
		attempts int
		want     error
	}{
		"success":                     {func(int) (bool, error) { return false, nil }, 1, nil},
		"success after failures":      {func(n int) (bool, error) { return true, map[bool]error{true: failure}[n < 3] }, 3, nil},
		"final failure":               {func(int) (bool, error) { return false, failure }, 1, failure},
		"budget used up":              {func(int) (bool, error) { return true, failure }, 3, failure},
		"routine failures cost none":  {func(n int) (bool, error) { return true, map[bool]error{true: leaving{failure}, false: nil}[n < 9] }, 9, nil},
		"routine, then budget is new": {func(n int) (bool, error) { return true, map[bool]error{true: leaving{failure}, false: failure}[n < 5] }, 7, failure},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				attempts, pauses := 0, 0
				err := httpwire.Retry(t.Context(), policy, func(n int) (bool, error) {
					if attempts++; n != attempts {
						t.Errorf("attempt %d is said to be number %d", attempts, n)
					}
					return c.fails(n)
				}, func(n int, pause time.Duration, err error) {
					if pauses++; n != pauses || err == nil || pause < 500*time.Millisecond || pause > 4*time.Second {
						t.Errorf("pause %d of %v after attempt %d, for %v", pauses, pause, n, err)
					}
				})
				if !errors.Is(err, c.want) || attempts != c.attempts || pauses != attempts-1 {
					t.Errorf("%v after %d attempts and %d pauses, want %v after %d", err, attempts, pauses, c.want, c.attempts)
				}
			})
		})
	}
}

type busy struct{ error }

func (busy) RetryAfter() time.Duration { return time.Minute }

func TestRetryPausesAsLongAsTheServerAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := httpwire.Retry(t.Context(), backoff.Policy{Budget: 1}, func(n int) (bool, error) {
			return true, map[bool]error{true: busy{errors.New("busy")}}[n == 1]
		}, nil)
		if err != nil || time.Since(began) != time.Minute {
			t.Errorf("%v after %v, want success after a minute", err, time.Since(began))
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failure := errors.New("no answer")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		err := httpwire.Retry(ctx, backoff.Policy{Base: time.Minute, Max: time.Minute, Budget: backoff.Endless}, func(int) (bool, error) { return true, failure }, nil)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, failure) {
			t.Errorf("in a pause: %v, want the deadline and the failure", err)
		}
		err = httpwire.Retry(ctx, backoff.Policy{Budget: 5}, func(n int) (bool, error) { return true, fmt.Errorf("attempt %d: %w", n, failure) }, nil)
		if !errors.Is(err, failure) || err.Error() != "attempt 1: no answer" {
			t.Errorf("with a context that is over: %v, want the failure of the only attempt", err)
		}
	})
}
