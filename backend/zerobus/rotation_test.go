package zerobus_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// A signal while nothing is under way ends the session at once, whatever time the server gives.
func TestIdleRotationIsImmediate(t *testing.T) {
	for _, d := range []time.Duration{0, -1, time.Second, 200 * 365 * 24 * time.Hour} {
		t.Run(d.String(), func(t *testing.T) {
			srv := serve(t)
			s := open(t, zerobus.Table(table, config(srv)))
			srv.Signal(table, d)
			_, err := reason(t, s)
			wantIs(t, err, backend.ErrTransient)
			if err := s.Send(limited(t), 0, records(`{}`)); err == nil {
				t.Error("a batch was taken after the signal")
			}
		})
	}
}

// early_recovery_all_acks_received: the pause ends with the last ack, which the session returns before it ends; nothing is
// sent after the signal.
func TestRotationDrainsAcksAndSendsNothing(t *testing.T) {
	srv := serve(t, zerobustest.Acks(zerobustest.AckEvery(3, time.Hour)))
	s := open(t, zerobus.Table(table, config(srv)))
	for i := range 2 {
		if err := s.Send(limited(t), uint64(i), records(`{}`)); err != nil {
			t.Fatal(err)
		}
	}
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.CloseSignal(time.Hour)})
	if err := s.Send(limited(t), 2, records(`{}`)); err != nil { // the third lets the server signal, and then acknowledge
		t.Fatal(err)
	}
	acked, err := reason(t, s)
	wantIs(t, err, backend.ErrTransient)
	if !slices.Equal(acked, []uint64{2}) {
		t.Errorf("acknowledged %v", acked)
	}
	if err := s.Send(limited(t), 3, records(`{}`)); err == nil {
		t.Error("a batch was taken after the signal")
	}
	if n := srv.Stats().Records; n != 3 {
		t.Errorf("%d records came", n)
	}
}

// default_graceful_close_waits_for_full_server_duration, immediate_recovery_on_close_signal, client_max_less_than_server,
// client_max_greater_than_server: what is not acknowledged when the pause is over may be stored.
func TestPauseEndsAtItsLimit(t *testing.T) {
	for name, opts := range map[string][]zerobus.Option{
		"as the server says":       nil,
		"at once":                  {zerobus.PauseLimit(0)},
		"before the server's time": {zerobus.PauseLimit(time.Millisecond)},
		"not after it":             {zerobus.PauseLimit(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, zerobustest.Acks(zerobustest.AckNever()))
			s := open(t, zerobus.Table(table, config(srv), opts...))
			pause := 50 * time.Millisecond
			if name == "at once" || name == "before the server's time" {
				pause = time.Hour // so that it would hang
			}
			srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.CloseSignal(pause)})
			if err := s.Send(limited(t), 0, records(`{}`)); err != nil {
				t.Fatal(err)
			}
			_, err := reason(t, s)
			wantIs(t, err, backend.ErrIndeterminate)
		})
	}
}

// At the end of a pause the stream is half-closed, and the acks that this brings save the rows from being sent twice.
func TestLastAcksAreTakenAtTheEndOfAPause(t *testing.T) {
	srv := serve(t, zerobustest.Acks(zerobustest.AckAfter(time.Hour)))
	s := open(t, zerobus.Table(table, config(srv)))
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.CloseSignal(time.Millisecond)})
	if err := s.Send(limited(t), 0, records(`{}`)); err != nil {
		t.Fatal(err)
	}
	acked, err := reason(t, s)
	wantIs(t, err, backend.ErrTransient)
	if !slices.Equal(acked, []uint64{0}) {
		t.Errorf("acknowledged %v", acked)
	}
}

// error_during_graceful_close: what the server says last counts.
func TestAnErrorDuringThePause(t *testing.T) {
	srv := serve(t, zerobustest.Acks(zerobustest.AckNever()))
	s := open(t, zerobus.Table(table, config(srv)))
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.Then(
		zerobustest.CloseSignal(time.Hour), zerobustest.Fail(codes.InvalidArgument, "no such column"))})
	if err := s.Send(limited(t), 0, records(`{}`)); err != nil {
		t.Fatal(err)
	}
	_, err := reason(t, s)
	wantIs(t, err, backend.ErrRejected)
}

// With recovery off the signal is ignored, as in the vendor's clients.
func TestWithoutRecoverySignalsAreIgnored(t *testing.T) {
	srv := serve(t)
	p := produce(t, zerobus.Table(table, config(srv), zerobus.Recovery(false)))
	srv.Signal(table, 0)
	for i := range 3 {
		if err := p.Send(limited(t), row{i}); err != nil {
			t.Fatal(err)
		}
	}
	if n := srv.Stats().Streams; n != 1 {
		t.Errorf("%d streams", n)
	}
}

// buffered_records_during_pause and recovery_on_close_signal: a producer writes on through rotations without a gap and
// without a duplicate.
func TestProducerThroughRotations(t *testing.T) {
	srv := serve(t, zerobustest.Lifetime(100*time.Millisecond, 5*time.Second, zerobustest.EOF()))
	p := produce(t, zerobus.Table(table, config(srv)), producer.BatchRecords(7))
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
