package zerobus_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// left returns the unacknowledged records of a stopped producer.
func left(p *producer.Producer[row]) (all []string) {
	for r, taken := range p.Unacked() {
		all = append(all, fmt.Sprintf("%s %v", r.Value, taken))
	}
	return all
}

func TestReceiverErrorFailsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(0, 0), zerobustest.StepFail(codes.Internal, "receiver error", 0))
		p := produce(t, sinkOf(srv), producer.Attempts(1))
		if err := p.Send(t.Context(), row{0}); err != nil {
			t.Errorf("the first: %v", err)
		}
		err := p.Send(t.Context(), row{1})
		var said *zerobus.Error
		if !errors.As(err, &said) || said.Code != codes.Internal || said.Message != "receiver error" {
			t.Errorf("the second: %v", err)
		}
		if _, err := p.Enqueue(t.Context(), row{2}); !errors.As(err, &said) {
			t.Errorf("the third: %v", err)
		}
		if n := srv.Stats().Streams; n != 1 {
			t.Errorf("%d streams", n)
		}
	})
}

// A producer with one attempt has one stream, also if the producer itself ended the stream.
func TestServerUnresponsivenessFailsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		p := produce(t, sinkOf(srv), producer.Attempts(1), producer.AckTimeout(200*time.Millisecond))
		began := time.Now()
		err := p.Send(t.Context(), row{0})
		if !errors.Is(err, backend.ErrIndeterminate) || !strings.Contains(err.Error(), "gave up after 1 attempt") {
			t.Error(err)
		}
		if d := time.Since(began); d < 200*time.Millisecond || d > 300*time.Millisecond { // with the producer's first pause
			t.Errorf("after %v", d)
		}
		if s := srv.Stats(); s.Streams != 1 || s.Records != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestGetUnackedRecordsAfterFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(4, 0), zerobustest.StepFail(codes.Internal, "broken", time.Second))
		p := produce(t, sinkOf(srv), producer.Attempts(1), producer.BatchRecords(1), producer.Linger(0))
		receipts := enqueue(t, p, 0, 10)
		_ = p.Close()
		for i, r := range receipts {
			if _, err := r.Wait(t.Context()); (err == nil) != (i < 5) {
				t.Errorf("row %d: %v", i, err)
			}
		}
		got := left(p)
		for i := range got {
			got[i], _, _ = strings.Cut(got[i], " ")
		}
		if !slices.Equal(got, numbered(10)[5:]) {
			t.Errorf("%q", got)
		}
	})
}

func TestGetUnackedRecordsWithMixedBatchesAndSingles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(0, 0))
		p := produce(t, sinkOf(srv), producer.Attempts(1))
		if err := p.Send(t.Context(), row{0}); err != nil {
			t.Fatal(err)
		}
		enqueue(t, p, 1, 1)
		pass(time.Second)
		enqueue(t, p, 2, 5)
		pass(time.Second)
		srv.End(table, zerobustest.Status(codes.Internal, "broken"))
		if err := p.Close(); err == nil {
			t.Error("no failure")
		}
		want := []string{`{"n":1} true`, `{"n":2} true`, `{"n":3} true`, `{"n":4} true`, `{"n":5} true`, `{"n":6} true`}
		if got := left(p); !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
		if got := requests(srv); !slices.Equal(got, []string{"0/0:1", "0/1:1", "0/2:5"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestPendingFuturesFailOnStreamFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		p := produce(t, sinkOf(srv), producer.BatchRecords(2))
		receipts := enqueue(t, p, 0, 10)
		pass(time.Second)
		srv.End(table, zerobustest.Status(codes.PermissionDenied, "grant revoked"))
		for i, r := range receipts {
			_, err := r.Wait(t.Context())
			var said *zerobus.Error
			if !errors.Is(err, backend.ErrUnauthorized) || !errors.As(err, &said) || said.Message != "grant revoked" {
				t.Errorf("row %d: %v", i, err)
			}
		}
	})
}

func TestFlushOfATerminallyFailedEmptyStreamReportsTheFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		p := produce(t, sinkOf(srv))
		srv.End(table, zerobustest.Status(codes.NotFound, "table dropped"))
		synctest.Wait()
		if err := p.Flush(t.Context()); !errors.Is(err, backend.ErrNotFound) || !strings.Contains(err.Error(), "table dropped") {
			t.Error(err)
		}
	})
}

func TestRecreateStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(0, 0), zerobustest.StepFail(codes.PermissionDenied, "for now", time.Second))
		old := produce(t, sinkOf(srv), producer.BatchRecords(1))
		enqueue(t, old, 0, 4)
		if err := old.Close(); !errors.Is(err, backend.ErrUnauthorized) {
			t.Fatal(err)
		}
		srv.Heal()
		p := produce(t, sinkOf(srv))
		for r := range old.Unacked() {
			if _, err := p.EnqueueEncoded(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if n := len(left(old)); n != 3 || len(left(p)) != 0 {
			t.Errorf("%d left by the old one, %q by the new", n, left(p))
		}
		all := values(srv)
		if slices.Sort(all); !slices.Equal(slices.Compact(all), numbered(4)) {
			t.Errorf("%q", all)
		}
	})
}

func TestGetUnackedRecordsReturnsEmptyWhenAllAcked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := produce(t, sinkOf(quiet(t)))
		enqueue(t, p, 0, 10)
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if got := left(p); len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}

// The vendor's clients call this recovery, switched off. lifecycle_test.go has the openings that take too long.
func TestAProducerWithOneAttemptStopsAtEveryFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		sink, once := sinkOf(srv), producer.Attempts(1)
		for code := codes.OK; code <= codes.Unauthenticated; code++ {
			if final[code] != nil {
				continue // TestEveryCode has these
			}
			srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Status(code, "not now")})
			before := srv.Stats().Streams
			_, err := producer.New(t.Context(), sink, codec.JSON[row](), once)
			var said *zerobus.Error
			if !errors.As(err, &said) || said.Code != code || srv.Stats().Streams != before+1 {
				t.Errorf("open, %v: %v", code, err)
			}
			p := produce(t, sink, once)
			srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.Status(code, "gone")})
			if err := p.Send(t.Context(), row{1}); !errors.As(err, &said) || said.Code != code {
				t.Errorf("send, %v: %v", code, err)
			}
			if err := p.Send(t.Context(), row{2}); err == nil || srv.Stats().Streams != before+2 {
				t.Errorf("%v: the producer went on", code)
			}
		}
	})
}
