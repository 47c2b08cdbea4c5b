package consumer_test

import (
	"context"
	"errors"
	"strconv"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/internal/goroutines"
	"github.com/headrace/headrace/producer"
)

// A consumer has as many goroutines for handlers as there were records in hand at once, and not as many as Concurrency allows.
func TestHandlersStartWhenRecordsNeedThem(t *testing.T) {
	const most = 20
	for name, key := range map[string]func(int) string{"without keys": nil, "with keys": strconv.Itoa} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := memory.New()
				p, err := producer.New(t.Context(), s, codec.String(), producer.IdleTimeout(0))
				if err != nil {
					t.Fatal(err)
				}
				defer p.Close()
				c := newConsumer(t, s)
				opts := []consumer.ProcessOption{consumer.Concurrency(most)}
				if key != nil {
					opts = append(opts, c.KeyBy(key))
				}
				ctx, stop := context.WithCancel(t.Context())
				var running atomic.Int64
				release, ended := make(chan struct{}), make(chan error, 1)
				go func() {
					ended <- c.Process(ctx, func(context.Context, consumer.Message[int]) error {
						running.Add(1)
						<-release
						running.Add(-1)
						return nil
					}, opts...)
				}()
				for _, records := range []int{1, 5, 1, 2 * most} {
					for i := range records {
						if _, err := p.Enqueue(t.Context(), strconv.Itoa(i)); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(5 * time.Second)
					synctest.Wait()
					if n := int(running.Load()); n != min(records, most) {
						t.Errorf("%d handlers run for %d records", n, records)
					}
					for range records {
						release <- struct{}{}
						synctest.Wait()
					}
					if n := running.Load(); n != 0 {
						t.Errorf("%d handlers run after the last record", n)
					}
					if n := goroutines.Of("consumer"); records == 5 && n != 6 {
						t.Errorf("the consumer has %d goroutines after 5 records at once, and its loop among them; want 6", n)
					}
				}
				stop()
				if err := <-ended; !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			})
		})
	}
}
