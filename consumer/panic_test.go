package consumer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

type panickingSource struct{}

func (panickingSource) OpenReader(context.Context, backend.Offset) (backend.Reader, error) {
	panic("no such door")
}

// A panic of the caller's code in a goroutine of the consumer does not end the process: the loop ends with an error that has
// the stack.
func TestPanicsInOurGoroutinesAreErrors(t *testing.T) {
	s := memory.New()
	p, err := producer.New(t.Context(), s, codec.JSON[int]())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Send(t.Context(), 1, 2, 3); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	messages := func(ctx context.Context, c *consumer.Consumer[int]) error {
		for _, err := range c.Messages(ctx) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	ouch := consumer.DeadLetters(&letterbox{see: func() { panic("ouch") }})
	for name, c := range map[string]struct {
		src  backend.Source
		opt  consumer.Option
		run  func(context.Context, *consumer.Consumer[int]) error
		want string
	}{
		"a source that opens": {panickingSource{}, consumer.StopAtTail(), messages, "no such door"},
		"a hook of the reader": {s, consumer.Observe(consumer.Hooks{ReaderOpened: func(consumer.ReaderEvent) { panic("bad hook") }}),
			messages, "bad hook"},
		"a hook of a batch": {s, consumer.Observe(consumer.Hooks{BatchRead: func(consumer.ReadEvent) { panic("bad hook") }}),
			messages, "bad hook"},
		"dead letters of Process": {s, ouch, func(ctx context.Context, c *consumer.Consumer[int]) error {
			return c.Process(ctx, func(context.Context, consumer.Message[int]) error { return consumer.Permanent(errors.New("bad")) })
		}, "ouch"},
		"dead letters of Pipe": {s, ouch, func(ctx context.Context, c *consumer.Consumer[int]) error {
			return c.Pipe(ctx, func(context.Context, consumer.Message[int]) (producer.Receipt, error) {
				return producer.Resolved("", backend.ErrRejected), nil
			})
		}, "ouch"},
	} {
		t.Run(name, func(t *testing.T) {
			one, err := consumer.New(c.src, codec.JSON[int](), c.opt)
			if err != nil {
				t.Fatal(err)
			}
			err = c.run(t.Context(), one)
			var p *consumer.PanicError
			if !errors.As(err, &p) || !strings.Contains(err.Error(), c.want) || len(p.Stack) == 0 {
				t.Errorf("%v, want a PanicError with %q", err, c.want)
			}
		})
	}
}
