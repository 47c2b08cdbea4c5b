package consumer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/internal/inhand"
	"github.com/headrace/headrace/producer"
)

// In a group, a process may be suspended for longer than its lease and go on before its timers have fired. No record
// begins then, and the work in hand learns of the end when it asks its context.
func TestNoRecordBeginsAfterTheLease(t *testing.T) {
	type loop = func(context.Context, *consumer.Consumer[int], func()) error
	for name, run := range map[string]loop{
		"Messages": func(ctx context.Context, c *consumer.Consumer[int], took func()) error {
			for _, err := range c.Messages(ctx) {
				if err != nil {
					return err
				}
				took()
			}
			return nil
		},
		"Batches": func(ctx context.Context, c *consumer.Consumer[int], took func()) error {
			for _, err := range c.Batches(ctx) {
				if err != nil {
					return err
				}
				took()
			}
			return nil
		},
		"Pipe": func(ctx context.Context, c *consumer.Consumer[int], took func()) error {
			return c.Pipe(ctx, func(context.Context, consumer.Message[int]) (producer.Receipt, error) {
				took()
				return producer.Skip, nil
			})
		},
		"Process": func(ctx context.Context, c *consumer.Consumer[int], took func()) error {
			return c.Process(ctx, func(context.Context, consumer.Message[int]) error { took(); return nil })
		},
		"Process, attempts": func(ctx context.Context, c *consumer.Consumer[int], took func()) error {
			return c.Process(ctx, func(context.Context, consumer.Message[int]) error { took(); return errors.New("again") },
				consumer.Retries(5), consumer.RetryBackoff(time.Millisecond, time.Millisecond))
		},
		"ProcessBatches": func(ctx context.Context, c *consumer.Consumer[int], took func()) error {
			return c.ProcessBatches(ctx, func(context.Context, []consumer.Message[int]) error { took(); return nil })
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := memory.New()
			p, err := producer.New(t.Context(), s, codec.JSON[int]())
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Send(t.Context(), 1, 2, 3, 4); err != nil {
				t.Fatal(err)
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			c, err := consumer.New(s, codec.JSON[int](), consumer.BatchRecords(1))
			if err != nil {
				t.Fatal(err)
			}
			hold, n := inhand.New(t.Context()), 0
			err = run(hold.Reading, c, func() {
				n++
				past := time.Now().Add(-time.Second)
				hold.Until(past, past)
			})
			if !errors.Is(err, context.Canceled) || n != 1 {
				t.Errorf("%d records began, %v; want 1 and the end of the context", n, err)
			}
			if hold.Work.Err() == nil {
				t.Error("the work in hand goes on")
			}
		})
	}
}
