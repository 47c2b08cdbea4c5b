package group

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/consumer"
)

func TestStreamsComeAndVanish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 4, 50)
		var listed atomic.Pointer[[]string]
		listed.Store(&w.names)
		list := func(context.Context) ([]string, error) { return *listed.Load(), nil }
		start := func(name string) *process {
			return w.startWith(name, Discover(w.open, list, 5*time.Second), func(ctx context.Context, stream string, m consumer.Message[int]) error {
				return w.handle(ctx, name, stream, m.Value, time.Second)
			})
		}
		a, b := start("a"), start("b")
		w.until("the streams are shared", time.Minute, w.shared("a", "b"))
		w.add("s99", 50)
		all := w.names
		listed.Store(&all)
		w.until("the new stream is handled", 10*time.Minute, w.allHandled(50))
		few := []string{"s00", "s01"}
		listed.Store(&few)
		w.names = few
		w.until("the vanished streams are given back", time.Minute, w.shared("a", "b"))
		none := []string{}
		listed.Store(&none)
		w.until("all are given back", time.Minute, func() bool { return w.holds()["a"]+w.holds()["b"] == 0 })
		if n := w.repeated(); n != 0 {
			t.Errorf("%d repeated", n)
		}
		canceled(t, a.stop())
		canceled(t, b.stop())
	})
}

// A stream that is deleted while a member reads it ends no group that discovers its streams.
func TestStreamThatIsDeletedWhileLeased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10)
		gone := &goneSource{}
		open := func(stream string) backend.Source {
			if stream == "gone" {
				return gone
			}
			return w.open(stream)
		}
		names := append([]string{"gone"}, w.names...)
		handle := func(ctx context.Context, stream string, m consumer.Message[int]) error {
			return w.handle(ctx, "a", stream, m.Value, time.Second)
		}
		list := func(context.Context) ([]string, error) { return names, nil }
		a := w.startWith("a", Discover(open, list, time.Minute), handle)
		w.until("the others are handled", time.Minute, w.allHandled(10))
		time.Sleep(10 * time.Minute)
		if n := gone.opened.Load(); n < 8 || n > 12 {
			t.Errorf("a stream that is missing was opened %d times in 10 minutes, want once a minute", n)
		}
		canceled(t, a.stop())
		// With fixed names the name is wrong.
		b := w.startWith("b", Fixed(open, names...), handle)
		if err := <-b.err; !errors.Is(err, backend.ErrNotFound) || !strings.Contains(err.Error(), "stream gone") {
			t.Errorf("%v", err)
		}
	})
}

type goneSource struct{ opened atomic.Int64 }

func (g *goneSource) OpenReader(context.Context, backend.Offset) (backend.Reader, error) {
	g.opened.Add(1)
	return nil, fmt.Errorf("%w: it was deleted", backend.ErrNotFound)
}

func TestListThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10)
		var calls atomic.Int64
		failure := errors.New("permission denied")
		list := func(context.Context) ([]string, error) {
			switch calls.Add(1) {
			case 1, 2:
				return nil, errCut
			case 3:
				return w.names, nil
			}
			return nil, failure
		}
		handle := func(ctx context.Context, stream string, m consumer.Message[int]) error {
			return w.handle(ctx, "a", stream, m.Value, time.Second)
		}
		a := w.startWith("a", Discover(w.open, list, time.Second), handle)
		w.until("an outage at the beginning passes", time.Minute, w.allHandled(10))
		time.Sleep(time.Minute)
		if !w.shared("a")() {
			t.Errorf("a list that fails later changed the streams: %v", w.holds())
		}
		canceled(t, a.stop())
		b := w.startWith("b", Discover(w.open, list, time.Second), handle)
		if err := <-b.err; !errors.Is(err, failure) || !strings.Contains(err.Error(), "list the streams") {
			t.Errorf("%v", err)
		}
	})
}

// A panic of the list function ends neither the process nor the group: it is logged with its stack, and the next call
// counts. At the beginning it ends the group, as any error does that does not pass.
func TestPanicOfTheListIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, 2, 10)
		var calls atomic.Int64
		var out bytes.Buffer
		list := func(context.Context) ([]string, error) {
			switch calls.Add(1) {
			case 1:
				return w.names[:1], nil
			case 2:
				panic("no list today")
			}
			return w.names, nil
		}
		handle := func(ctx context.Context, stream string, m consumer.Message[int]) error {
			return w.handle(ctx, "a", stream, m.Value, time.Second)
		}
		a := w.startWith("a", Discover(w.open, list, time.Second), handle, Logger(slog.New(slog.NewTextHandler(&out, nil))))
		w.until("the stream that was listed after the panic is handled", time.Minute, w.allHandled(10))
		canceled(t, a.stop())
		if said := out.String(); strings.Count(said, "no list today") != 1 || !strings.Contains(said, "streams_test.go") {
			t.Errorf("the log does not tell the panic once with its stack: %s", said)
		}
		b := w.startWith("b", Discover(w.open, func(context.Context) ([]string, error) { panic("no list at all") }, time.Second), handle)
		var p *consumer.PanicError
		if err := <-b.err; !errors.As(err, &p) || p.Value != "no list at all" || !strings.Contains(err.Error(), "list the streams") {
			t.Errorf("%v", err)
		}
	})
}
