package backend_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
)

type appendFunc = func(context.Context, uint64, []backend.Record) (backend.Ack, error)

var one = []backend.Record{{Value: []byte("v")}}

func openSerial(t *testing.T, f appendFunc) (backend.Appender, backend.Session) {
	t.Helper()
	a := backend.Serial(backend.Limits{BatchRecords: 7}, f).NewAppender(backend.Format{})
	return a, reopen(t, a)
}

func reopen(t *testing.T, a backend.Appender) backend.Session {
	t.Helper()
	s, err := a.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestSerialPassesOnWhatTheStoreSays(t *testing.T) {
	var seqs []uint64
	a, s := openSerial(t, func(_ context.Context, seq uint64, recs []backend.Record) (backend.Ack, error) {
		seqs = append(seqs, seq)
		return backend.Ack{Seq: 99, Next: "n", OffsetOf: func(i int) backend.Offset { return backend.Offset(recs[i].Value) }}, nil
	})
	if got := a.Limits().BatchRecords; got != 7 {
		t.Errorf("BatchRecords %d, want 7", got)
	}
	for seq := range uint64(3) {
		if err := s.Send(t.Context(), seq, []backend.Record{{Value: []byte("v")}}); err != nil {
			t.Fatal(err)
		}
	}
	for seq := range uint64(3) {
		ack, err := s.Recv(t.Context())
		if err != nil || ack.Seq != seq || ack.Next != "n" || ack.OffsetOf(0) != "v" {
			t.Errorf("ack %v, %v of batch %d", ack, err, seq)
		}
	}
	if fmt.Sprint(seqs) != "[0 1 2]" {
		t.Errorf("the store was given seqs %v", seqs)
	}
}

// The error of a call is the last word, behind the acks; what it says of the batch is only added to where it says nothing.
func TestSerialClassifiesTheEndOfACall(t *testing.T) {
	cause := errors.New("disk full")
	for _, test := range []struct {
		err                      error
		transient, indeterminate bool
	}{
		{cause, false, false},
		{fmt.Errorf("%w: %w", backend.ErrTransient, cause), true, false},
		{context.DeadlineExceeded, false, true},
		{fmt.Errorf("post: %w", context.Canceled), false, true},
		{fmt.Errorf("not begun: %w: %w", backend.ErrTransient, context.Canceled), true, false},
	} {
		a, s := openSerial(t, func(_ context.Context, seq uint64, _ []backend.Record) (backend.Ack, error) {
			if seq == 1 {
				return backend.Ack{}, test.err
			}
			return backend.Ack{}, nil
		})
		for seq := range uint64(2) {
			if err := s.Send(t.Context(), seq, one); err != nil {
				t.Fatalf("batch %d was not taken: %v", seq, err)
			}
		}
		if err := s.Send(t.Context(), 2, one); !errors.Is(err, backend.ErrTransient) {
			t.Errorf("a batch behind a failure is not taken: %v", err)
		}
		if ack, err := s.Recv(t.Context()); err != nil || ack.Seq != 0 {
			t.Errorf("the ack before the reason: %d, %v", ack.Seq, err)
		}
		for range 2 {
			_, err := s.Recv(t.Context())
			if !errors.Is(err, test.err) || errors.Is(err, backend.ErrTransient) != test.transient ||
				errors.Is(err, backend.ErrIndeterminate) != test.indeterminate {
				t.Errorf("%v became %v", test.err, err)
			}
		}
		s.Close()
		if err := reopen(t, a).Send(t.Context(), 1, one); err != nil {
			t.Errorf("a resend in the next session: %v", err)
		}
	}
}

func TestSerialSeq(t *testing.T) {
	calls := 0
	a, s := openSerial(t, func(context.Context, uint64, []backend.Record) (backend.Ack, error) {
		calls++
		return backend.Ack{}, nil
	})
	for seq := range uint64(2) {
		s.Send(t.Context(), seq, one)
	}
	if ack, err := s.Recv(t.Context()); err != nil || ack.Seq != 0 {
		t.Fatal(ack, err)
	}
	s.Close()
	for _, seq := range []uint64{0, 2, 99} { // acknowledged, and two beyond 1, which is not and so is next
		s := reopen(t, a)
		if err := s.Send(t.Context(), seq, one); !errors.Is(err, backend.ErrConflict) {
			t.Errorf("seq %d: %v", seq, err)
		}
		if _, err := s.Recv(t.Context()); !errors.Is(err, backend.ErrConflict) {
			t.Errorf("Recv after seq %d: %v", seq, err)
		}
		s.Close()
	}
	if calls != 2 {
		t.Errorf("%d calls of the store, want 2", calls)
	}
}

func TestSerialContextsEndTheSession(t *testing.T) {
	nothing := func(context.Context, uint64, []backend.Record) (backend.Ack, error) { return backend.Ack{}, nil }
	ended, cancel := context.WithCancel(t.Context())
	cancel()

	a, s := openSerial(t, nothing)
	if err := s.Send(ended, 0, one); !errors.Is(err, backend.ErrTransient) || !errors.Is(err, context.Canceled) {
		t.Errorf("Send: %v", err)
	}
	if _, err := s.Recv(t.Context()); !errors.Is(err, backend.ErrTransient) {
		t.Errorf("Recv behind it: %v", err)
	}
	s.Close()
	if _, err := a.Open(ended); !errors.Is(err, backend.ErrTransient) || !errors.Is(err, context.Canceled) {
		t.Errorf("Open: %v", err)
	}

	_, s = openSerial(t, nothing)
	if _, err := s.Recv(ended); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, context.Canceled) {
		t.Errorf("Recv with nothing under way: %v", err)
	}
	if err := s.Send(t.Context(), 0, one); err == nil {
		t.Error("a batch was taken after Recv had returned an error")
	}
}

func TestSerialAcknowledgesNothingBehindTheReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, s := openSerial(t, func(ctx context.Context, _ uint64, _ []backend.Record) (backend.Ack, error) {
			<-ctx.Done() // too late: the batch is stored
			return backend.Ack{}, nil
		})
		defer s.Close()
		sent := make(chan error, 1)
		go func() { sent <- s.Send(t.Context(), 0, one) }()
		synctest.Wait()
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := s.Recv(ended); !errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, context.Canceled) {
			t.Errorf("Recv with a batch under way: %v", err)
		}
		if err := <-sent; err != nil {
			t.Errorf("the batch was taken: %v", err)
		}
		if ack, err := s.Recv(t.Context()); !errors.Is(err, backend.ErrIndeterminate) {
			t.Errorf("Recv again: %v, %v, want the reason it gave", ack, err)
		}
	})
}

func TestSerialCloseEndsTheCallUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		returned := false
		_, s := openSerial(t, func(ctx context.Context, _ uint64, _ []backend.Record) (backend.Ack, error) {
			<-ctx.Done()
			<-time.After(time.Second) // the store takes its time
			returned = true
			return backend.Ack{}, ctx.Err()
		})
		sent, received := make(chan error, 1), make(chan error, 1)
		go func() { sent <- s.Send(t.Context(), 0, one) }()
		go func() { _, err := s.Recv(t.Context()); received <- err }()
		synctest.Wait()
		if err := s.Close(); err != nil || !returned {
			t.Errorf("Close returned %v while the call ran: %v", err, !returned)
		}
		if err := <-sent; err != nil {
			t.Errorf("the batch was taken: %v", err)
		}
		if err := <-received; !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Recv: %v", err)
		}
		if err := s.Send(t.Context(), 1, one); !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("a second Close: %v", err)
		}
	})
}
