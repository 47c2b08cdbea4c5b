package zerobus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// sendAll sends batches of the given sizes through a session and returns the acks.
func sendAll(t testing.TB, s backend.Session, sizes ...int) (acks []uint64) {
	t.Helper()
	for i, n := range sizes {
		if err := s.Send(t.Context(), uint64(i), records(slices.Repeat([]string{"{}"}, n)...)); err != nil {
			t.Fatal(err)
		}
		a, err := s.Recv(t.Context())
		if err != nil || a.OffsetOf != nil || a.Next != "" {
			t.Fatalf("%+v, %v: a table gives no offsets", a, err)
		}
		acks = append(acks, a.Seq)
	}
	return acks
}

// The vendor's offset is the seq of a batch here. Each batch is a request.
func offsets(t *testing.T, sizes []int, want ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		acks := sendAll(t, open(t, sinkOf(srv)), sizes...)
		if len(acks) != len(sizes) || acks[len(acks)-1] != uint64(len(sizes)-1) {
			t.Errorf("acknowledged %v", acks)
		}
		if got := requests(srv); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	})
}

func TestSingleRecordIngestion(t *testing.T) { offsets(t, []int{1}, "0/0:1") }
func TestMultipleRecordsIngestion(t *testing.T) {
	offsets(t, []int{1, 1, 1}, "0/0:1", "0/1:1", "0/2:1")
}
func TestBasicBatchIngestion(t *testing.T)         { offsets(t, []int{5}, "0/0:5") }
func TestLargeBatchIngestion(t *testing.T)         { offsets(t, []int{100}, "0/0:100") }
func TestIngestRecordOffsetSingle(t *testing.T)    { offsets(t, []int{1}, "0/0:1") }
func TestIngestRecordOffsetMultiple(t *testing.T)  { offsets(t, []int{1, 1}, "0/0:1", "0/1:1") }
func TestIngestRecordsOffsetBatch(t *testing.T)    { offsets(t, []int{3, 4}, "0/0:3", "0/1:4") }
func TestMixedBatchAndSingle(t *testing.T)         { offsets(t, []int{1, 2, 1}, "0/0:1", "0/1:2", "0/2:1") }
func TestIngestSingleRecord(t *testing.T)          { through(t, 1, 1, "0/0:1") }
func TestIngestMultipleRecords(t *testing.T)       { through(t, 3, 1, "0/0:1", "0/1:1", "0/2:1") }
func TestIngestBatchRecords(t *testing.T)          { through(t, 5, 5, "0/0:5") }
func TestHundredIngestsEndAtOffset99(t *testing.T) { through(t, 100, 1, lines(100)...) }

func lines(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("0/%d:1", i))
	}
	return all
}

// through sends rows through a producer, in batches of the given sizes.
func through(t *testing.T, n, batch int, want ...string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		p := produce(t, sinkOf(srv), producer.BatchRecords(batch))
		receipts := enqueue(t, p, 0, n)
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, r := range receipts {
			if off, err := r.Wait(t.Context()); off != "" || err != nil {
				t.Errorf("row %d: %q, %v", i, off, err)
			}
		}
		if got := requests(srv); !slices.Equal(got, want) || !slices.Equal(values(srv), numbered(n)) {
			t.Errorf("%q, want %q; rows %q", got, want, values(srv))
		}
	})
}

// An empty batch is refused at once, without a request and without an offset.
func TestIngestEmptyBatchReturnsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		p := produce(t, sinkOf(srv))
		for i := range 2 {
			if err := p.Send(t.Context()); err != nil {
				t.Error(err)
			}
			if n := srv.Stats().Requests; n != int64(i) {
				t.Errorf("%d requests", n)
			}
			if err := p.Send(t.Context(), row{i}); err != nil {
				t.Error(err)
			}
		}
		if err := open(t, sinkOf(srv)).Send(t.Context(), 0, nil); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("of a session: %v", err)
		}
	})
}

func TestBatchTooLargeRejectedByServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Times: -1, Do: zerobustest.Status(codes.InvalidArgument, "batch too large")})
		s := open(t, sinkOf(srv))
		if err := s.Send(t.Context(), 0, records("{}", "{}")); err != nil {
			t.Fatal(err)
		}
		_, err := reason(t, s)
		if wantIs(t, err, backend.ErrRejected); !strings.Contains(err.Error(), "batch too large") {
			t.Error(err)
		}
		p := produce(t, sinkOf(srv))
		for i, r := range enqueue(t, p, 0, 2) {
			if _, err := r.Wait(t.Context()); !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), "batch too large") {
				t.Errorf("row %d: %v", i, err)
			}
		}
		srv.Heal()
		if err := p.Send(t.Context(), row{2}); err != nil {
			t.Errorf("after it: %v", err)
		}
	})
}

func TestFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(4, 200*time.Millisecond))
		p := produce(t, sinkOf(srv), producer.BatchRecords(1))
		receipts := enqueue(t, p, 0, 5)
		began := time.Now()
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		took(t, began, 200*time.Millisecond)
		for _, r := range receipts { // one ack for all
			if _, err := r.Wait(t.Context()); err != nil {
				t.Error(err)
			}
		}
		took(t, began, 200*time.Millisecond)
	})
}

// When the context of a flush has ended, the records stay in flight and the stream stays open.
func TestFlushTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckAfter(time.Second)))
		p := produce(t, sinkOf(srv))
		enqueue(t, p, 0, 3)
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := p.Flush(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		took(t, began, 100*time.Millisecond)
		if s := p.Stats(); s.InFlight != 1 || s.Buffered != 3 {
			t.Errorf("%+v", s)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		took(t, began, time.Second)
		if n := srv.Stats().Records; n != 3 {
			t.Errorf("%d records came", n)
		}
	})
}

func TestEmptyFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := produce(t, sinkOf(quiet(t)))
		began := time.Now()
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		took(t, began, 0)
	})
}

// Wait returns when the server has ended the stream, with the server's error, and does not wait for its context.
func TestErrorDuringWaitForOffset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepFail(codes.PermissionDenied, "grant revoked", 300*time.Millisecond))
		p := produce(t, sinkOf(srv))
		r := enqueue(t, p, 0, 1)[0]
		began := time.Now()
		_, err := r.Wait(limited(t))
		took(t, began, 300*time.Millisecond)
		if !errors.Is(err, backend.ErrUnauthorized) || !strings.Contains(err.Error(), "grant revoked") {
			t.Error(err)
		}
		if err := p.Flush(t.Context()); !errors.Is(err, backend.ErrUnauthorized) {
			t.Errorf("flush: %v", err)
		}
		took(t, began, 300*time.Millisecond)
	})
}
