package zerobus_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

func TestConcurrentIngestFromMultipleTasks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(999, 0))
		p := produce(t, sinkOf(srv), producer.BatchRecords(1))
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() { enqueue(t, p, 100*i, 100) })
		}
		wg.Wait()
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := requests(srv); !slices.Equal(got, lines(1000)) {
			t.Errorf("offsets %q", got)
		}
		all := values(srv)
		if slices.Sort(all); len(slices.Compact(all)) != 1000 {
			t.Errorf("%d different rows", len(slices.Compact(all)))
		}
	})
}

func TestConcurrentBatchIngestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(4, 0))
		p := produce(t, sinkOf(srv), producer.BatchRecords(10), producer.Linger(time.Hour))
		var wg sync.WaitGroup
		for i := range 5 {
			wg.Go(func() { enqueue(t, p, 10*i, 10) })
		}
		wg.Wait()
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := requests(srv); !slices.Equal(got, []string{"0/0:10", "0/1:10", "0/2:10", "0/3:10", "0/4:10"}) {
			t.Errorf("%q", got)
		}
	})
}

// blocksAtTheLimit sends one batch more than may be in flight. The last Send waits for an ack.
func blocksAtTheLimit(t *testing.T, size int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(2, 500*time.Millisecond))
		s := open(t, tableOf(srv, zerobus.InFlight(3)))
		go func() { _, _ = s.Recv(t.Context()) }()
		began := time.Now()
		for i := range 4 {
			if i == 3 {
				took(t, began, 0)
			}
			if err := s.Send(t.Context(), uint64(i), records(slices.Repeat([]string{"{}"}, size)...)); err != nil {
				t.Fatal(err)
			}
		}
		took(t, began, 500*time.Millisecond)
	})
}

func TestIngestBlocksOnInflightLimit(t *testing.T)        { blocksAtTheLimit(t, 1) }
func TestIngestRecordsBlocksOnInflightLimit(t *testing.T) { blocksAtTheLimit(t, 10) } // a batch counts as one

// The producer's own limit is in bytes. At that limit Enqueue waits.
func TestIngestBlocksOnTheByteLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckAfter(500*time.Millisecond)))
		p := produce(t, sinkOf(srv), producer.BufferBytes(1000), producer.BatchRecords(1))
		began := time.Now()
		n := 0
		for ; time.Since(began) == 0; n++ {
			enqueue(t, p, n, 1)
		}
		took(t, began, 500*time.Millisecond)
		if n < 3 || n > 10 { // 7 bytes and about 100 for each
			t.Errorf("%d rows in 1000 bytes", n)
		}
	})
}

// A flush waits for the rows accepted before the flush, and not for rows accepted meanwhile.
func TestFlushWithConcurrentIngestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(4, 500*time.Millisecond), zerobustest.StepAck(5, 500*time.Millisecond))
		p := produce(t, sinkOf(srv), producer.BatchRecords(1))
		enqueue(t, p, 0, 5)
		began := time.Now()
		late := make(chan producer.Receipt, 1)
		time.AfterFunc(100*time.Millisecond, func() { late <- enqueue(t, p, 5, 1)[0] })
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		took(t, began, 500*time.Millisecond)
		r := <-late
		if _, err := r.Wait(t.Context()); err != nil {
			t.Error(err)
		}
		took(t, began, time.Second)
	})
}

// The end of a context ends the wait of the call: for headers, for a handshake, for room. It ends nothing else.
func TestContextsEndHeadersHandshakesAndBackpressure(t *testing.T) {
	silent := zerobus.HeadersFunc(func(ctx context.Context, _ string) (map[string]string, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	})
	for name, test := range map[string]struct {
		opts  []zerobus.Option
		fault *zerobustest.Fault
	}{
		"headers":   {opts: []zerobus.Option{zerobus.Headers(silent)}},
		"handshake": {fault: &zerobustest.Fault{Stage: zerobustest.Opening, Do: zerobustest.Stall()}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				if test.fault != nil {
					srv.Inject(*test.fault)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				_, err := sinkOf(srv, test.opts...).NewAppender(jsonFormat).Open(ctx)
				took(t, began, time.Second)
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
			})
		})
	}
	t.Run("backpressure", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			srv := quiet(t, zerobustest.Acks(zerobustest.AckAfter(2*time.Second)))
			p := produce(t, sinkOf(srv), producer.BufferBytes(150))
			enqueue(t, p, 0, 1)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			began := time.Now()
			_, err := p.Enqueue(ctx, row{1})
			took(t, began, time.Second)
			if !errors.Is(err, producer.ErrFull) || !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
			enqueue(t, p, 2, 1)
			took(t, began, 2*time.Second)
		})
	})
}

// The stream keeps the values of the opening's context. When that context ends, the stream goes on.
func TestContextValuesPropagateAndCancellationIsDetached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Token("mine"))
		type key struct{}
		seen := false
		h := zerobus.HeadersFunc(func(ctx context.Context, name string) (map[string]string, error) {
			seen = ctx.Value(key{}) == "here"
			return map[string]string{"authorization": "Bearer mine", "x-databricks-zerobus-table-name": name}, nil
		})
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "here"))
		s, err := sinkOf(srv, zerobus.Headers(h)).NewAppender(jsonFormat).Open(ctx)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		cancel()
		synctest.Wait()
		if acks := sendAll(t, s, 1, 2); len(acks) != 2 || !seen {
			t.Errorf("%v, values seen: %v", acks, seen)
		}
	})
}
