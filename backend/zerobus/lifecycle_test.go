package zerobus_test

import (
	"context"
	"errors"
	"strings"
	"sync"
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

// The tests with names such as TestSuccessfulStreamCreation repeat the tests of the vendor's clients with producers and sessions.
// They run by the bubble's clock, so they can compare times.

func TestSuccessfulStreamCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("stream-1", 0))
		p := produce(t, sinkOf(srv))
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		if s := srv.Stats(); s.Streams != 1 || s.Requests != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTimeoutedStreamCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("late", 300*time.Millisecond))
		began := time.Now()
		_, err := producer.New(t.Context(), sinkOf(srv, zerobus.Timeout(100*time.Millisecond)), codec.JSON[row](), producer.Attempts(1))
		took(t, began, 100*time.Millisecond)
		if wantIs(t, err, backend.ErrTransient); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestNonRetriableErrorDuringStreamCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepFail(codes.PermissionDenied, "non-retriable error", 0), zerobustest.StepCreate("never", 0))
		_, err := producer.New(t.Context(), sinkOf(srv), codec.JSON[row]())
		if wantIs(t, err, backend.ErrUnauthorized); !strings.Contains(err.Error(), "non-retriable error") {
			t.Error(err)
		}
		if n := srv.Stats().Streams; n != 1 {
			t.Errorf("%d attempts", n)
		}
	})
}

// After UNAUTHENTICATED the opening tries once more with another token. A second UNAUTHENTICATED is final.
func TestOneShotAuthRetryAtOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Status(codes.Unauthenticated, "not known yet")})
		p := produce(t, sinkOf(srv))
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Times: -1, Do: zerobustest.Status(codes.Unauthenticated, "not known at all")})
		began := time.Now()
		_, err := producer.New(t.Context(), sinkOf(srv), codec.JSON[row]())
		took(t, began, 0)
		if wantIs(t, err, backend.ErrUnauthorized); !strings.Contains(err.Error(), "not known at all") {
			t.Error(err)
		}
		if s := srv.Stats(); s.Streams != 4 || s.TokenRequests != 4 {
			t.Errorf("%+v: want two attempts for each producer", s)
		}
	})
}

func TestRetriableErrorWithoutRecoveryDuringStreamCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepFail(codes.Unavailable, "retriable error", 0), zerobustest.StepCreate("never", 0))
		began := time.Now()
		_, err := producer.New(t.Context(), sinkOf(srv), codec.JSON[row](), producer.Attempts(1))
		took(t, began, 0)
		if wantIs(t, err, backend.ErrTransient); !strings.Contains(err.Error(), "retriable error") {
			t.Error(err)
		}
		if n := srv.Stats().Streams; n != 1 {
			t.Errorf("%d attempts", n)
		}
	})
}

func TestGracefulClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepAck(0, 100*time.Millisecond))
		p := produce(t, sinkOf(srv))
		enqueue(t, p, 0, 1)
		began := time.Now()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		took(t, began, 100*time.Millisecond)
		if s := srv.Stats(); s.Records != 1 || s.MaxOffset != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestIdempotentClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		p, s := produce(t, sinkOf(srv)), open(t, sinkOf(srv))
		for range 2 {
			if err := errors.Join(p.Close(), s.Close()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestFlushAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepFail(codes.Internal, "broken", 0))
		p := produce(t, sinkOf(srv), producer.Attempts(1))
		enqueue(t, p, 0, 1)
		if err := p.Close(); err == nil || !strings.Contains(err.Error(), "broken") {
			t.Errorf("close: %v", err)
		}
		if err := p.Flush(t.Context()); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("flush: %v", err)
		}
	})
}

func TestIngestAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		p, s := produce(t, sinkOf(srv)), open(t, sinkOf(srv))
		if err := errors.Join(p.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Enqueue(t.Context(), row{1}); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("producer: %v", err)
		}
		if err := s.Send(t.Context(), 0, records("{}")); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("session: %v", err)
		}
		if n := srv.Stats().Requests; n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestIngestRecordsAfterClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		p, s := produce(t, sinkOf(srv)), open(t, sinkOf(srv))
		if err := errors.Join(p.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
		if err := p.Send(t.Context(), row{1}, row{2}); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("producer: %v", err)
		}
		if err := s.Send(t.Context(), 0, records("{}", "{}")); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("session: %v", err)
		}
		if n := srv.Stats().Requests; n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

func TestCloseWaitsForGracefulSupervisorShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckAfter(50*time.Millisecond)))
		p := produce(t, sinkOf(srv), producer.BatchRecords(1))
		enqueue(t, p, 0, 10)
		began := time.Now()
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		took(t, began, 50*time.Millisecond)
	})
}

func TestDropImmediatelyShutsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		p, s := produce(t, sinkOf(srv)), open(t, sinkOf(srv))
		enqueue(t, p, 0, 3)
		if err := s.Send(t.Context(), 0, records("{}")); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		began := time.Now()
		if err := p.Shutdown(gone); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "3 records left") {
			t.Errorf("producer: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("session: %v", err)
		}
		took(t, began, 0)
	})
}

// A second Close returns the same error as the first, at once. The vendor's second Close returns no error.
func TestCloseIdempotentAfterError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepFail(codes.PermissionDenied, "no grant", 0))
		p := produce(t, sinkOf(srv))
		enqueue(t, p, 0, 1)
		began := time.Now()
		for range 2 {
			if err := p.Close(); !errors.Is(err, backend.ErrUnauthorized) {
				t.Error(err)
			}
		}
		took(t, began, 0)
	})
}

func TestSupervisorRespondsToCancellation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		p := produce(t, sinkOf(srv), producer.BatchRecords(1), producer.DrainTimeout(2*time.Second))
		enqueue(t, p, 0, 10)
		began := time.Now()
		if err := p.Close(); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		took(t, began, 2*time.Second)
	})
}

func TestConcurrentCloseOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckAfter(50*time.Millisecond)))
		p := produce(t, sinkOf(srv))
		enqueue(t, p, 0, 1)
		began := time.Now()
		var wg sync.WaitGroup
		for range 3 {
			wg.Go(func() {
				if err := p.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		took(t, began, 50*time.Millisecond)
	})
}

// Nothing is left of a closed stream. The server sees the end, and a goroutine that stayed would keep the bubble from ending.
func TestStreamCleanupOnDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		s := open(t, sinkOf(srv))
		if err := s.Send(t.Context(), 0, records("{}")); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		_ = s.Close()
		politely(t, srv)
	})
}
