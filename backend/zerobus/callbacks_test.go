package zerobus_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// told collects the events of hooks. It needs no lock, because one goroutine calls all hooks.
type told struct {
	acked, failed []uint64
	records       int
	errs          []error
}

func (c *told) observe() producer.Option {
	return producer.Observe(producer.Hooks{
		BatchAcked: func(e producer.BatchEvent) { c.acked, c.records = append(c.acked, e.Seq), c.records+e.Records },
		BatchFailed: func(e producer.BatchEvent) {
			c.failed, c.errs = append(c.failed, e.Seq), append(c.errs, e.Err)
		},
	})
}

func TestCallbackOnSuccessfulAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard told
		p := produce(t, sinkOf(quiet(t)), producer.BatchRecords(1), heard.observe())
		enqueue(t, p, 0, 3)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(heard.acked, []uint64{0, 1, 2}) || len(heard.failed) != 0 {
			t.Errorf("%+v", heard)
		}
	})
}

func TestCallbackOnStreamErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(0, 0), zerobustest.StepFail(codes.Internal, "broken", 100*time.Millisecond))
		var heard told
		p := produce(t, sinkOf(srv), producer.Attempts(1), producer.BatchRecords(1), heard.observe())
		enqueue(t, p, 0, 3)
		began := time.Now()
		_ = p.Close()
		took(t, began, 100*time.Millisecond)
		if !slices.Equal(heard.acked, []uint64{0}) || !slices.Equal(heard.failed, []uint64{1, 2}) {
			t.Errorf("%+v", heard)
		}
		for _, err := range heard.errs {
			var said *zerobus.Error
			if !errors.As(err, &said) || said.Message != "broken" || !errors.Is(err, backend.ErrIndeterminate) {
				t.Errorf("%v", err)
			}
		}
	})
}

func TestCallbackWithBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard told
		p := produce(t, sinkOf(quiet(t)), producer.BatchRecords(5), producer.Linger(time.Hour), heard.observe())
		enqueue(t, p, 0, 15)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(heard.acked, []uint64{0, 1, 2}) || heard.records != 15 {
			t.Errorf("%+v", heard)
		}
	})
}

// A cumulative ack calls the hook for each of its batches, in order.
func TestCallbackCalledPerOffset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(4, 0))
		var heard told
		p := produce(t, sinkOf(srv), producer.BatchRecords(1), heard.observe())
		enqueue(t, p, 0, 5)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(heard.acked, []uint64{0, 1, 2, 3, 4}) {
			t.Errorf("%+v", heard)
		}
		if n := srv.Stats().Acks; n != 1 {
			t.Errorf("%d acks", n)
		}
	})
}
