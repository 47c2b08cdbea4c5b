package zerobus_test

import (
	"context"
	"fmt"
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

// If nothing is in flight, the signal ends the session at once, for any time that the server gives.
func TestIdleRotationIsImmediate(t *testing.T) {
	for _, d := range []time.Duration{0, -1, time.Second, 200 * 365 * 24 * time.Hour} {
		t.Run(d.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				s := open(t, sinkOf(srv))
				began := time.Now()
				srv.Signal(table, d)
				_, err := reason(t, s)
				took(t, began, 0)
				wantIs(t, err, backend.ErrTransient)
				if err := s.Send(t.Context(), 0, records(`{}`)); err == nil {
					t.Error("a batch was taken after the signal")
				}
			})
		})
	}
}

// rotated opens a session, sends batches, and returns the acks and the end of the session. The server signals the end when the
// last batch has come, and before its ack.
func rotated(t *testing.T, srv *zerobustest.Server, batches int, pause time.Duration, opts ...zerobus.TableOption) (acked []uint64, why error) {
	t.Helper()
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Skip: batches - 1, Do: zerobustest.CloseSignal(pause)})
	s := open(t, tableOf(srv, opts...))
	for i := range batches {
		if err := s.Send(t.Context(), uint64(i), records(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	acked, why = reason(t, s)
	if err := s.Send(t.Context(), uint64(batches), records(`{}`)); err == nil {
		t.Error("a batch was taken after the signal")
	}
	if n := srv.Stats().Records; n != int64(batches) {
		t.Errorf("%d records came", n)
	}
	return acked, why
}

// The pause ends with the last ack. The session returns the ack first.
func TestEarlyRecoveryAllAcksReceived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckAfter(200*time.Millisecond)))
		began := time.Now()
		acked, err := rotated(t, srv, 3, time.Hour)
		took(t, began, 200*time.Millisecond)
		wantIs(t, err, backend.ErrTransient)
		if len(acked) == 0 || acked[len(acked)-1] != 2 {
			t.Errorf("acknowledged %v", acked)
		}
	})
}

func TestDefaultGracefulCloseWaitsForFullServerDuration(t *testing.T) {
	pauses(t, time.Second, time.Second)
}

func TestImmediateRecoveryOnCloseSignal(t *testing.T) {
	t.Run("as the client wants it", func(t *testing.T) { pauses(t, time.Hour, time.Nanosecond, zerobus.PauseLimit(time.Nanosecond)) })
	t.Run("as the server says", func(t *testing.T) { pauses(t, 0, 0) })
	t.Run("no duration", func(t *testing.T) { pauses(t, -1, 0) })
}

func TestClientMaxLessThanServer(t *testing.T) {
	pauses(t, 5*time.Second, time.Second, zerobus.PauseLimit(time.Second))
}

func TestClientMaxGreaterThanServer(t *testing.T) {
	pauses(t, time.Second, time.Second, zerobus.PauseLimit(2*time.Second))
}

// pauses checks a rotation with one batch that is never acknowledged. After want, the session says that the batch may be
// stored. A producer sends the batch and the later batches on a new stream.
func pauses(t *testing.T, server, want time.Duration, opts ...zerobus.TableOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		began := time.Now()
		_, err := rotated(t, srv, 1, server, opts...)
		took(t, began, want)
		wantIs(t, err, backend.ErrIndeterminate)
	})
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("one", 0), zerobustest.StepAck(2, 0), zerobustest.StepSignal(server, 0),
			zerobustest.StepCreate("two", 0), zerobustest.StepAck(1, 0))
		p := produce(t, tableOf(srv, opts...), producer.BatchRecords(1), producer.Linger(0))
		enqueue(t, p, 0, 4)
		synctest.Wait()
		began := time.Now()
		enqueue(t, p, 4, 1)
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		within(t, began, want, want+pauseMost)
		// First 4 requests, then 2: the unacknowledged batch, and the batch that came after the signal.
		if got := requests(srv); !slices.Equal(got, []string{"0/0:1", "0/1:1", "0/2:1", "0/3:1", "1/0:1", "1/1:1"}) {
			t.Errorf("%q", got)
		}
	})
}

// Rows are accepted during the pause, and sent after the pause.
func TestBufferedRecordsDuringPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("one", 0), zerobustest.StepSignal(time.Second, 0),
			zerobustest.StepCreate("two", 0), zerobustest.StepAck(3, 0))
		p := produce(t, sinkOf(srv), producer.BatchRecords(1), producer.Linger(0))
		enqueue(t, p, 0, 1)
		synctest.Wait()
		began := time.Now()
		enqueue(t, p, 1, 3)
		took(t, began, 0)
		if err := p.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		within(t, began, time.Second, time.Second+pauseMost)
		if got := requests(srv); !slices.Equal(got, []string{"0/0:1", "1/0:1", "1/1:1", "1/2:1", "1/3:1"}) {
			t.Errorf("%q", got)
		}
	})
}

// The server's last error counts: INTERNAL is tried again, and a refusal is final.
func TestErrorDuringGracefulClose(t *testing.T) {
	for code, want := range map[codes.Code]error{codes.Internal: backend.ErrIndeterminate, codes.InvalidArgument: backend.ErrRejected} {
		t.Run(code.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				fault := zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.Then(
					zerobustest.CloseSignal(time.Hour), zerobustest.Delay(100*time.Millisecond), zerobustest.Status(code, "broken"))}
				srv.Inject(fault)
				s := open(t, sinkOf(srv))
				if err := s.Send(t.Context(), 0, records(`{}`)); err != nil {
					t.Fatal(err)
				}
				began := time.Now()
				_, err := reason(t, s)
				took(t, began, 100*time.Millisecond)
				wantIs(t, err, want)
				srv.Inject(fault)
				p := produce(t, sinkOf(srv))
				err = p.Send(t.Context(), row{0})
				if code == codes.Internal && err != nil {
					t.Error(err)
				} else if code != codes.Internal {
					wantIs(t, err, backend.ErrRejected)
				}
			})
		})
	}
}

// The end of a pause half-closes the stream. Acks that come then count, so those rows are not sent twice.
func TestLastAcksAreTakenAtTheEndOfAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckAfter(time.Hour)))
		began := time.Now()
		acked, err := rotated(t, srv, 1, time.Second)
		took(t, began, time.Second)
		wantIs(t, err, backend.ErrTransient)
		if !slices.Equal(acked, []uint64{0}) {
			t.Errorf("acknowledged %v", acked)
		}
	})
}

// After the half-close, the session waits half a second for a server that neither acknowledges nor ends the stream.
func TestThePauseEndsThoughTheServerDoesNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Closing, Do: zerobustest.Stall()})
		began := time.Now()
		_, err := rotated(t, srv, 1, time.Second)
		took(t, began, 1500*time.Millisecond)
		if wantIs(t, err, backend.ErrIndeterminate); !backend.Routine(err) {
			t.Errorf("%v, want the announcement: we cut the stream off ourselves", err)
		}
	})
}

// politely fails unless the client ended every stream with END_STREAM, and the server saw no RST_STREAM.
func politely(t *testing.T, srv *zerobustest.Server) {
	t.Helper()
	synctest.Wait()
	for _, st := range srv.Streams() {
		n := len(st.Events)
		if n < 2 || st.Events[n-2].Kind != zerobustest.HalfClosed || st.Events[n-1].Kind != zerobustest.Ended || st.Events[n-1].Status != codes.OK {
			t.Errorf("stream %d ended with %+v", st.Number, st.Events[max(n-2, 0):])
		}
	}
}

// For every way to end a session from this side, the server sees a half-close and no cut.
func TestStreamsEndWithTheirEnd(t *testing.T) {
	never := zerobustest.Acks(zerobustest.AckNever())
	for name, test := range map[string]struct {
		acks zerobustest.Option
		end  func(t *testing.T, srv *zerobustest.Server, s backend.Session)
	}{
		"a rotation with nothing under way": {nil, func(t *testing.T, srv *zerobustest.Server, s backend.Session) {
			srv.Signal(table, time.Hour)
			_, err := reason(t, s)
			wantIs(t, err, backend.ErrTransient)
		}},
		"a rotation at once": {never, func(t *testing.T, srv *zerobustest.Server, s backend.Session) {
			_ = s.Send(t.Context(), 0, records("{}"))
			srv.Signal(table, 0)
			_, err := reason(t, s)
			wantIs(t, err, backend.ErrIndeterminate)
		}},
		"a context": {never, func(t *testing.T, srv *zerobustest.Server, s backend.Session) {
			_ = s.Send(t.Context(), 0, records("{}"))
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err := s.Recv(ctx)
			wantIs(t, err, backend.ErrIndeterminate)
		}},
		"a seq that is not next": {nil, func(t *testing.T, srv *zerobustest.Server, s backend.Session) {
			_ = s.Send(t.Context(), 7, records("{}"))
			_, err := reason(t, s)
			wantIs(t, err, backend.ErrConflict)
		}},
		"Close with a batch under way": {never, func(t *testing.T, srv *zerobustest.Server, s backend.Session) {
			_ = s.Send(t.Context(), 0, records("{}"))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var opts []zerobustest.Option
				if test.acks != nil {
					opts = append(opts, test.acks)
				}
				srv := quiet(t, opts...)
				s := open(t, sinkOf(srv))
				began := time.Now()
				test.end(t, srv, s)
				_ = s.Close()
				if d := time.Since(began); d > time.Second {
					t.Errorf("it took %v", d)
				}
				politely(t, srv)
			})
		})
	}
}

// AckTimeout ends the stream before the producer opens another.
func TestAnAckTimeoutEndsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		srv.Script(table, zerobustest.StepCreate("silent", 0))
		p := produce(t, sinkOf(srv), producer.AckTimeout(time.Second))
		enqueue(t, p, 0, 1)
		pass(1500 * time.Millisecond)
		_ = p.Close()
		politely(t, srv)
	})
}

// A dead server holds up Close for half a second.
func TestCloseIsBoundedThoughTheServerDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Closing, Do: zerobustest.Stall()})
		s := open(t, sinkOf(srv))
		if err := s.Send(t.Context(), 0, records("{}")); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_ = s.Close()
		took(t, began, 500*time.Millisecond)
	})
}

// The service ends every stream after a while. A producer with one attempt must survive that.
func TestARotationIsNoAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		p := produce(t, sinkOf(srv), producer.Attempts(1))
		for i := range 5 {
			srv.Signal(table, time.Second)
			synctest.Wait()
			if err := p.Send(t.Context(), row{i}); err != nil {
				t.Fatal(err)
			}
		}
		if got := values(srv); !slices.Equal(got, numbered(5)) || srv.Stats().Streams != 6 {
			t.Errorf("%q over %d streams", got, srv.Stats().Streams)
		}
	})
}

// A producer writes through rotations without a gap and without a duplicate, also over real sockets.
func TestProducerThroughRotations(t *testing.T) {
	t.Parallel()
	srv := serve(t, zerobustest.Lifetime(100*time.Millisecond, 5*time.Second, zerobustest.EOF()))
	p := produce(t, clientOf(config(srv)).Table(table), producer.BatchRecords(7))
	n := 0
	for srv.Stats().Streams < 5 {
		if _, err := p.Enqueue(limited(t), row{n}); err != nil {
			t.Fatal(err)
		}
		n++
		if n%100 == 0 {
			if err := p.Flush(limited(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if got := values(srv); !slices.Equal(got, numbered(n)) {
		t.Errorf("%d rows, want %d: %s", len(got), n, firstDifference(got, numbered(n)))
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("row %d is %s, want %s", i, got[i], want[i])
		}
	}
	return "the lengths differ"
}
