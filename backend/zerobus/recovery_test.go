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
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// The producer's first pause is 50 ms. The upper half is random.
const pauseLeast, pauseMost = 25 * time.Millisecond, 50 * time.Millisecond

// within fails unless the time that has passed on the bubble's clock is within the bounds.
func within(t testing.TB, began time.Time, least, most time.Duration) {
	t.Helper()
	if d := time.Since(began); d < least || d > most {
		t.Errorf("it took %v, want %v to %v", d, least, most)
	}
}

func TestRecoveryDuringStreamCreation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepFail(codes.Unavailable, "not yet", 0), zerobustest.StepCreate("s", 0), zerobustest.StepAck(0, 0))
		began := time.Now()
		p := produce(t, sinkOf(srv))
		within(t, began, pauseLeast, pauseMost)
		if err := p.Send(t.Context(), row{0}); err != nil {
			t.Error(err)
		}
	})
}

// Without a deadline, New tries 13 times. Its error has the last message.
func TestStreamCreationFailsAfterExhaustingRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		for i := range 20 {
			srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: zerobustest.Status(codes.Unavailable, fmt.Sprintf("failure %d", i+1))})
		}
		began := time.Now()
		_, err := producer.New(t.Context(), sinkOf(srv), codec.JSON[row]())
		if wantIs(t, err, backend.ErrTransient); !strings.Contains(err.Error(), "failure 13") {
			t.Error(err)
		}
		if n := srv.Stats().Streams; n != 13 {
			t.Errorf("%d attempts", n)
		}
		within(t, began, 15*time.Second, 40*time.Second)
	})
}

// The stream fails on the third of five batches. The unacknowledged batches are sent again in order, with the same seqs and
// with new wire offsets.
func TestRecoveryAfterRetriableReceiverError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Skip: 2, Do: zerobustest.Status(codes.Unavailable, "away")})
		a := sinkOf(srv).NewAppender(jsonFormat)
		next := uint64(0) // the first batch that is not acknowledged; an ack stands for all batches before it too
		for sessions := range 2 {
			s, err := a.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for seq := next; seq < 5; seq++ {
				if s.Send(t.Context(), seq, records(fmt.Sprintf(`{"n":%d}`, seq))) != nil {
					break // Recv says what came before it, and why
				}
			}
			for next < 5 && err == nil {
				var ack backend.Ack
				if ack, err = s.Recv(t.Context()); err == nil {
					next = ack.Seq + 1
				}
			}
			if sessions == 0 {
				wantIs(t, err, backend.ErrIndeterminate)
			} else if err != nil {
				t.Error(err)
			}
			_ = s.Close()
		}
		if next != 5 || !slices.Equal(values(srv), numbered(5)) {
			t.Errorf("%d acknowledged; rows %q", next, values(srv))
		}
		if got := requests(srv); !slices.Equal(got[3:], []string{"1/0:1", "1/1:1", "1/2:1"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestRecoveryAfterServerUnresponsiveness(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("deaf", 0), zerobustest.StepCreate("well", 0), zerobustest.StepAck(0, 0))
		p := produce(t, sinkOf(srv), producer.AckTimeout(100*time.Millisecond))
		began := time.Now()
		if err := p.Send(t.Context(), row{0}); err != nil {
			t.Error(err)
		}
		// The old stream ends at once, because the server answers to the half-close.
		within(t, began, 100*time.Millisecond+pauseLeast, 100*time.Millisecond+pauseMost)
		if got := requests(srv); !slices.Equal(got, []string{"0/0:1", "1/0:1"}) {
			t.Errorf("%q", got)
		}
	})
}

func TestCloseFailsOnNonRetriableErrorDuringFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("s", 0), zerobustest.StepFail(codes.PermissionDenied, "permission denied", 100*time.Millisecond))
		p := produce(t, sinkOf(srv))
		enqueue(t, p, 0, 1)
		if err := p.Close(); !errors.Is(err, backend.ErrUnauthorized) || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("close: %v", err)
		}
		if _, err := p.Enqueue(t.Context(), row{1}); err == nil {
			t.Error("a row was accepted after it")
		}
	})
}

func TestRecoveryOnCloseStreamSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("one", 0), zerobustest.StepAck(0, 0), zerobustest.StepSignal(0, 0),
			zerobustest.StepCreate("two", 0), zerobustest.StepAck(0, 0), zerobustest.StepAck(1, 0))
		p := produce(t, sinkOf(srv))
		for i := range 3 {
			if err := p.Send(t.Context(), row{i}); err != nil {
				t.Fatal(err)
			}
		}
		if got := requests(srv); !slices.Equal(got, []string{"0/0:1", "0/1:1", "1/0:1", "1/1:1"}) {
			t.Errorf("%q", got)
		}
	})
}

// A batch of several records is sent again as one request.
func TestRecoveryPreservesBatchStructure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Stored, Skip: 1, Do: zerobustest.Drop()})
		p := produce(t, sinkOf(srv))
		if err := p.Send(t.Context(), row{0}); err != nil {
			t.Fatal(err)
		}
		if err := p.Send(t.Context(), row{1}, row{2}, row{3}); err != nil {
			t.Fatal(err)
		}
		if got := requests(srv); !slices.Equal(got, []string{"0/0:1", "0/1:3", "1/0:3"}) {
			t.Errorf("%q", got)
		}
	})
}

// The server is gone for 700 ms. All unacknowledged batches are sent again.
func TestRecoveryAcrossARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Stored, Times: 5, Do: zerobustest.Silence()})
		p := produce(t, sinkOf(srv), producer.BatchRecords(1))
		enqueue(t, p, 0, 5)
		pass(time.Second)
		if err := srv.Restart(false, 700*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		if got := requests(srv); len(got) != 10 || !slices.Equal(got[5:], []string{"1/0:1", "1/1:1", "1/2:1", "1/3:1", "1/4:1"}) {
			t.Errorf("%q", got)
		}
	})
}
