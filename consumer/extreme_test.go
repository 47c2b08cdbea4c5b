package consumer_test

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/consumer"
)

// The largest values stand for no limit.
func TestLargestConcurrencyIsNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 3000
		var done, tries atomic.Int64
		c := newConsumer(t, count(t, n), consumer.StopAtTail())
		ended := make(chan error, 1)
		go func() {
			ended <- c.Process(t.Context(), func(_ context.Context, m consumer.Message[int]) error {
				if m.Value == 0 && tries.Add(1) == 1 {
					return errors.New("not yet")
				}
				time.Sleep(time.Second)
				done.Add(1)
				return nil
			}, consumer.Concurrency(math.MaxInt), consumer.RetryBackoff(time.Hour, time.Hour))
		}()
		elapse(10 * time.Minute)
		if got := done.Load(); got != n-1 {
			t.Errorf("%d records are done while the first waits for its next attempt, want %d", got, n-1)
		}
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func TestLargestAttemptTimeoutIsNoLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		c := newConsumer(t, count(t, 3), consumer.StopAtTail(), consumer.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		err := c.Process(t.Context(), func(ctx context.Context, _ consumer.Message[int]) error {
			elapse(time.Hour)
			return ctx.Err()
		}, consumer.AttemptTimeout(math.MaxInt64))
		if err != nil || strings.Contains(log.String(), "goes on") {
			t.Errorf("%v\n%s", err, log.String())
		}
	})
}
