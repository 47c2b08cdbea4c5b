package zerobus_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// The time that an opening takes without an answer.
func TestTimeoutBoundsAnOpening(t *testing.T) {
	for name, test := range map[string]struct {
		opts []zerobus.Option
		want time.Duration
	}{
		"default":                   {nil, 15 * time.Second},
		"given":                     {[]zerobus.Option{zerobus.Timeout(time.Second)}, time.Second},
		"more than the context has": {[]zerobus.Option{zerobus.Timeout(time.Hour)}, time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Stall()})
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				began := time.Now()
				_, err := sinkOf(srv, test.opts...).NewAppender(jsonFormat).Open(ctx)
				took(t, began, test.want)
				if wantIs(t, err, backend.ErrTransient); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		})
	}
}

// AckTimeout is the vendor's lack-of-ack timeout. It counts from the oldest unacknowledged batch.
func TestAckTimeout(t *testing.T) {
	for name, test := range map[string]struct {
		opts []producer.Option
		want time.Duration // until the batch is sent again; 0 for never
	}{
		"default": {nil, 30 * time.Second},
		"given":   {[]producer.Option{producer.AckTimeout(time.Second)}, time.Second},
		"zero":    {[]producer.Option{producer.AckTimeout(0)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				srv.Script(table, zerobustest.StepCreate("deaf", 0), zerobustest.StepCreate("well", 0), zerobustest.StepAck(0, 0))
				p := produce(t, sinkOf(srv), append(test.opts, producer.DrainTimeout(0))...)
				began := time.Now()
				enqueue(t, p, 0, 1)
				ctx, cancel := context.WithTimeout(t.Context(), day)
				defer cancel()
				err := p.Flush(ctx)
				if test.want == 0 {
					took(t, began, day)
					if !errors.Is(err, context.DeadlineExceeded) || srv.Stats().Streams != 1 {
						t.Error(err)
					}
					return
				}
				within(t, began, test.want+pauseLeast, test.want+pauseMost)
				if err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// DrainTimeout is the flush timeout of a Close. A Flush has its context.
func TestDrainTimeout(t *testing.T) {
	for name, test := range map[string]struct {
		opts []producer.Option
		want time.Duration
	}{
		"default": {nil, 10 * time.Second},
		"given":   {[]producer.Option{producer.DrainTimeout(time.Second)}, time.Second},
		"zero":    {[]producer.Option{producer.DrainTimeout(0)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := produce(t, sinkOf(quiet(t, zerobustest.Acks(zerobustest.AckNever()))), test.opts...)
				enqueue(t, p, 0, 1)
				pass(time.Second)
				began := time.Now()
				if err := p.Close(); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				took(t, began, test.want)
				if got := left(p); len(got) != 1 || got[0] != `{"n":0} true` {
					t.Errorf("%q", got)
				}
			})
		})
	}
}

// The number is one of requests. The default is far beyond what a producer's bytes allow.
func TestInFlight(t *testing.T) {
	for name, test := range map[string]struct {
		opts []zerobus.TableOption
		want int64
	}{
		"default": {nil, 1000},
		"given":   {[]zerobus.TableOption{zerobus.InFlight(10)}, 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
				p := produce(t, tableOf(srv, test.opts...), producer.BatchRecords(1), producer.DrainTimeout(0))
				enqueue(t, p, 0, 1000)
				pass(time.Second)
				if n := srv.Stats().Requests; n != test.want {
					t.Errorf("%d requests are under way, want %d", n, test.want)
				}
			})
		})
	}
}

// A nanosecond uses a token to its last moment. The default replaces a token of an hour five minutes before its end.
func TestRefreshBuffer(t *testing.T) {
	for name, test := range map[string]struct {
		opts []zerobus.Option
		age  time.Duration
		want int64 // tokens for an opening at that age
	}{
		"default, before":      {nil, 54 * time.Minute, 1},
		"default, after":       {nil, 56 * time.Minute, 2},
		"a nanosecond, before": {[]zerobus.Option{zerobus.RefreshBuffer(1)}, 59*time.Minute + 59*time.Second, 1},
		"a nanosecond, after":  {[]zerobus.Option{zerobus.RefreshBuffer(1)}, time.Hour, 2},
		"half of its life":     {[]zerobus.Option{zerobus.RefreshBuffer(day)}, 29 * time.Minute, 1},
		"and not before":       {[]zerobus.Option{zerobus.RefreshBuffer(day)}, 31 * time.Minute, 2},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				sink := sinkOf(srv, test.opts...)
				_ = open(t, sink).Close()
				pass(test.age)
				_ = open(t, sink).Close()
				if n := srv.Stats().Tokens; n != test.want {
					t.Errorf("%d tokens, want %d", n, test.want)
				}
			})
		})
	}
}
