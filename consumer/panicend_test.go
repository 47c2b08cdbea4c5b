package consumer_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// A brittleStore panics in one of its methods while broken is set.
type brittleStore struct {
	checkpoint.Store
	broken string
}

func (s *brittleStore) Claim(ctx context.Context, key string) (checkpoint.Checkpoint, error) {
	if s.broken == "Claim" {
		panic("a bad claim")
	}
	return s.Store.Claim(ctx, key)
}

func (s *brittleStore) Save(ctx context.Context, key string, cp checkpoint.Checkpoint) error {
	if s.broken == "Save" {
		panic("a bad save")
	}
	return s.Store.Save(ctx, key, cp)
}

// A caller may recover a panic of its own code that passed through a loop, as the server of net/http does. The loop has ended then: the
// reader is closed, and the next loop begins.
func TestLoopEndsByAPanicOfTheStoreOrAHook(t *testing.T) {
	loops := map[string]func(context.Context, *consumer.Consumer[int]) (int, error){
		"Messages": func(ctx context.Context, c *consumer.Consumer[int]) (int, error) {
			got, err := drain(ctx, c)
			return len(got), err
		},
		"Batches": func(ctx context.Context, c *consumer.Consumer[int]) (n int, last error) {
			for b, err := range c.Batches(ctx) {
				n += len(b)
				last = err
			}
			return n, last
		},
		"Process": func(ctx context.Context, c *consumer.Consumer[int]) (n int, _ error) {
			err := c.Process(ctx, func(context.Context, consumer.Message[int]) error { n++; return nil })
			return n, err
		},
		"Pipe": func(ctx context.Context, c *consumer.Consumer[int]) (n int, _ error) {
			err := c.Pipe(ctx, func(context.Context, consumer.Message[int]) (producer.Receipt, error) { n++; return producer.Skip, nil })
			return n, err
		},
	}
	for _, broken := range []string{"Claim", "Save", "LoopStarted", "its function", "CheckpointSaved"} {
		for name, loop := range loops {
			for when, opts := range map[string][]consumer.Option{"at the end": nil, "in the middle": {consumer.CheckpointEvery(3, 0)}} {
				t.Run(fmt.Sprint(broken, " in ", name, " ", when), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						store := &brittleStore{Store: checkpoint.NewMemory(), broken: broken}
						panics := func(where string) {
							if store.broken == where {
								panic("a bad hook")
							}
						}
						c := newConsumer(t, count(t, 10), append(opts, consumer.StopAtTail(), consumer.Checkpoint(store, key),
							consumer.Observe(consumer.Hooks{
								LoopStarted: func(func() consumer.Stats) func() {
									panics("LoopStarted")
									return func() { panics("its function") }
								},
								CheckpointSaved: func(consumer.SaveEvent) { panics("CheckpointSaved") },
							}))...)
						func() {
							defer func() {
								if recover() == nil {
									t.Error("the panic did not pass")
								}
							}()
							_, _ = loop(t.Context(), c)
						}()
						store.broken = ""
						if n, err := loop(t.Context(), c); err != nil {
							t.Errorf("the next loop: %d records and %v", n, err)
						}
						if got := stored(t, store.Store); !strings.HasPrefix(string(got), "10@") {
							t.Errorf("%q is stored", got)
						}
						time.Sleep(time.Minute) // a goroutine that is left would wait for ever, and end the bubble
					})
				})
			}
		}
	}
}
