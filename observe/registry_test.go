package observe_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/backendtest"
	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/observe"
	"github.com/headrace/headrace/producer"
)

func send(t *testing.T, sink backend.Sink, n int, opts ...producer.Option) *producer.Producer[string] {
	t.Helper()
	p, err := producer.New(t.Context(), sink, codec.String(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := p.Send(t.Context(), strconv.Itoa(i)); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func TestProducersOfOneNameAreAddedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := observe.NewRegistry()
		opt := reg.Producer("orders") // one option for two producers
		stream := memory.New()
		lossy := backendtest.NewFlakySink(stream, backendtest.Nth(backendtest.OnSend, 2, backendtest.DropBefore(nil)))
		a := send(t, lossy, 3, opt)
		b := send(t, stream, 2, opt)
		receipt, err := b.Enqueue(t.Context(), "late") // waits for its linger
		if err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the hooks that count run behind Send
		got := reg.Snapshot().Producers[0]
		if got.Name != "orders" || got.Live != 2 || got.Acked != 5 || got.Buffered != 1 || got.Resent != 1 || got.Lost != 1 || got.Opened != 3 {
			t.Errorf("%+v", got)
		}
		if got.Latency.Count() != 5 || got.LastError.Err == nil {
			t.Errorf("latency of %d batches, last error %v", got.Latency.Count(), got.LastError)
		}
		if _, err := receipt.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, p := range []*producer.Producer[string]{a, b} {
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
		}
		got = reg.Snapshot().Producers[0]
		if got.Live != 0 || got.Acked != 6 || got.Buffered != 0 || got.Sent["wanted"] != 6 {
			t.Errorf("after Close: %+v", got)
		}
	})
}

func TestSessionsThatEndAsIdleAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := observe.NewRegistry()
		opt := reg.Producer("orders")
		idle := send(t, memory.New(), 1, opt, producer.IdleTimeout(time.Minute))
		defer idle.Close()
		defer send(t, memory.New(), 1, opt, producer.IdleTimeout(0)).Close()
		for _, want := range []struct {
			send, open   int
			idle, opened uint64
		}{
			{send: 0, open: 1, idle: 1, opened: 2},
			{send: 1, open: 1, idle: 2, opened: 3},
		} {
			for range want.send {
				if err := idle.Send(t.Context(), "again"); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				if open := reg.Snapshot().Producers[0].Open; open != 2 {
					t.Errorf("%d sessions are open after a record, want 2", open)
				}
			}
			time.Sleep(3 * time.Minute)
			synctest.Wait()
			got := reg.Snapshot().Producers[0]
			if got.Open != want.open || got.Idle != want.idle || got.Opened != want.opened || got.Lost != 0 || got.LastError.Err != nil {
				t.Errorf("%+v, want %d sessions open, %d ended as idle and %d opened", got, want.open, want.idle, want.opened)
			}
		}
	})
}

func TestAClosedProducerHasNoError(t *testing.T) {
	reg := observe.NewRegistry()
	p := send(t, memory.New(), 1, reg.Producer("orders"))
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := reg.Snapshot().Producers[0]; got.LastError.Err != nil {
		t.Errorf("last error %v", got.LastError.Err)
	}
}

func TestConsumersKeepTheirCountersOverLoops(t *testing.T) {
	reg := observe.NewRegistry()
	stream := memory.New()
	p := send(t, stream, 5)
	defer p.Close()
	bad := errors.New("bad record")
	c, err := consumer.New(stream, codec.Func("", nil, func(b []byte) (string, error) {
		if string(b) == "3" {
			return "", bad
		}
		return string(b), nil
	}), reg.Consumer("billing"), consumer.StopAtTail(), consumer.OnPoison(consumer.Skip))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for _, err := range c.Messages(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if live := reg.Snapshot().Consumers[0].Live; live != 1 {
				t.Errorf("%d loops live in the loop", live)
			}
		}
	}
	got := reg.Snapshot().Consumers[0]
	if got.Name != "billing" || got.Live != 0 || got.Read != 5 || got.Done != 5 || got.Poison != 1 || !errors.Is(got.LastError.Err, bad) {
		t.Errorf("%+v", got)
	}
}

func TestHandlersAreMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reg := observe.NewRegistry()
		stream := memory.New()
		p := send(t, stream, 4)
		defer p.Close()
		c, err := consumer.New(stream, codec.String(), consumer.StopAtTail())
		if err != nil {
			t.Fatal(err)
		}
		failed := map[string]bool{}
		err = c.Process(t.Context(), func(ctx context.Context, m consumer.Message[string]) error {
			time.Sleep(10 * time.Millisecond)
			if m.Value == "2" && !failed[m.Value] {
				failed[m.Value] = true
				panic("two")
			}
			if m.Value == "3" && !failed[m.Value] {
				failed[m.Value] = true
				return errors.New("three")
			}
			return nil
		}, consumer.Use(observe.Handler[string](reg, "billing")))
		if err != nil {
			t.Fatal(err)
		}
		got := reg.Snapshot().Handlers[0]
		if got.Running != 0 || got.Failed != 2 || got.Durations.Count() != 6 || got.Durations.Sum != 60*time.Millisecond {
			t.Errorf("%+v", got)
		}
		if q := got.Durations.Quantile(0.5); q < 8*time.Millisecond || q > 16*time.Millisecond {
			t.Errorf("median %v", q)
		}
	})
}
