package consumer_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A vanishing source ends the goroutine that opens it.
type vanishing struct{}

func (vanishing) OpenReader(context.Context, backend.Offset) (backend.Reader, error) {
	runtime.Goexit()
	return nil, nil
}

// FailNow of a test ends the goroutine that calls it. In a fake of the caller that runs in a goroutine of the consumer, the loop ends with an
// error. Otherwise the loop would wait for ever, without a word.
func TestLoopEndsWhereTheCallersCodeEndsAGoroutine(t *testing.T) {
	messages := func(ctx context.Context, c *consumer.Consumer[int]) error {
		_, err := drain(ctx, c)
		return err
	}
	hook := func(h consumer.Hooks) consumer.Option { return consumer.Observe(h) }
	gone := consumer.DeadLetters(&letterbox{see: runtime.Goexit})
	for name, tc := range map[string]struct {
		src   backend.Source
		codec codec.Codec[int]
		opts  []consumer.Option
		run   func(context.Context, *consumer.Consumer[int]) error
	}{
		"a source":             {src: vanishing{}},
		"a hook of the reader": {opts: []consumer.Option{hook(consumer.Hooks{ReaderOpened: func(consumer.ReaderEvent) { runtime.Goexit() }})}},
		"a hook of a batch":    {opts: []consumer.Option{hook(consumer.Hooks{BatchRead: func(consumer.ReadEvent) { runtime.Goexit() }})}},
		"a codec":              {codec: vanishingCodec},
		"one of two codecs":    {codec: vanishingCodec, opts: []consumer.Option{consumer.Decoders(2)}},
		"dead letters of Process": {opts: []consumer.Option{gone}, run: func(ctx context.Context, c *consumer.Consumer[int]) error {
			return c.Process(ctx, func(context.Context, consumer.Message[int]) error { return consumer.Permanent(errors.New("bad")) })
		}},
		"dead letters of Pipe": {opts: []consumer.Option{gone}, run: func(ctx context.Context, c *consumer.Consumer[int]) error {
			return c.Pipe(ctx, func(context.Context, consumer.Message[int]) (producer.Receipt, error) {
				return producer.Resolved("", backend.ErrRejected), nil
			})
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				if tc.src == nil {
					tc.src = count(t, 10)
				}
				if tc.codec == nil {
					tc.codec = numbers
				}
				if tc.run == nil {
					tc.run = messages
				}
				c, err := consumer.New(tc.src, tc.codec, tc.opts...)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				defer func() {
					// As a panic of a codec, its end is raised in the loop.
					if text, _ := recover().(string); tc.codec != numbers && !strings.Contains(text, "Goexit") {
						t.Errorf("raised %q", text)
					}
				}()
				if err := tc.run(ctx, c); err == nil || !strings.Contains(err.Error(), "Goexit") {
					t.Errorf("%v, want that a goroutine has ended", err)
				}
			})
		})
	}
}

var vanishingCodec = codec.Func("text/plain", nil, func(src []byte) (int, error) {
	if string(src) == "3" {
		runtime.Goexit()
	}
	return decodeNumber(src)
})
