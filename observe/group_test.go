package observe_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/consumer/group"
	"github.com/headrace/headrace/consumer/group/lease"
	"github.com/headrace/headrace/observe"
)

func TestLeasesOfAGroupAreShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := observe.NewRegistry()
		open := func(string) backend.Source { return memory.New() }
		g, err := group.New(lease.NewMemory(), "billing", group.Fixed(open, "b", "a"), codec.String(), reg.Group("billing"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- g.Process(ctx, func(context.Context, string, consumer.Message[string]) error { return nil })
		}()
		time.Sleep(time.Minute)
		synctest.Wait()
		got := reg.Snapshot().Groups[0]
		if got.Name != "billing" || got.Members != 1 || got.Streams != 2 || !slices.Equal(got.Held, []string{"a", "b"}) {
			t.Errorf("%+v", got)
		}
		stop()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		if got := reg.Snapshot().Groups[0]; got.Members != 0 || len(got.Held) != 0 {
			t.Errorf("after the end: %+v", got)
		}
	})
}
