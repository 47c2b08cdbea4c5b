package zerobus_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
)

// trip sends a batch and receives its ack, both with ctx.
func trip(t *testing.T, ctx context.Context, s backend.Session, seq uint64) {
	t.Helper()
	if err := s.Send(ctx, seq, records(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	if a, err := s.Recv(ctx); err != nil || a.Seq != seq {
		t.Fatalf("ack %d, %v, want %d", a.Seq, err, seq)
	}
}

func TestContextsThatEndBetweenCallsEndNothing(t *testing.T) {
	s := open(t, clientOf(config(serve(t))).Table(table))
	for i := range uint64(50) {
		ctx, cancel := context.WithCancel(limited(t))
		trip(t, ctx, s, 3*i)
		trip(t, ctx, s, 3*i+1)
		cancel()
		trip(t, context.Background(), s, 3*i+2)
	}
}

func TestContextThatEndedBetweenCallsIsNoContext(t *testing.T) {
	s := open(t, clientOf(config(serve(t))).Table(table))
	ctx, cancel := context.WithCancel(limited(t))
	trip(t, ctx, s, 0)
	cancel()
	if err := s.Send(ctx, 1, records(`{"n":1}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("sent: %v", err)
	}
	acked, why := reason(t, s)
	if len(acked) > 0 || !errors.Is(why, context.Canceled) {
		t.Errorf("acked %v, then %v", acked, why)
	}
	if err := s.Send(limited(t), 1, records(`{"n":1}`)); !errors.Is(err, context.Canceled) {
		t.Errorf("sent after the end: %v", err)
	}
}

func TestContextOfEarlierCallsEndsReceiving(t *testing.T) {
	s := open(t, clientOf(config(serve(t))).Table(table))
	ctx, cancel := context.WithCancel(limited(t))
	trip(t, limited(t), s, 0)
	trip(t, ctx, s, 1)
	ended := make(chan error)
	go func() {
		_, err := s.Recv(ctx)
		ended <- err
	}()
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("received: %v", err)
	}
}

// A server that reads nothing holds up Send. The end of the context ends Send, also if earlier calls had the same context.
func TestContextOfEarlierCallsEndsSending(t *testing.T) {
	srv := serve(t, zerobustest.Window(64<<10))
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Skip: 2, Do: zerobustest.Stall()})
	s := open(t, clientOf(config(srv)).Table(table))
	ctx, cancel := context.WithCancel(limited(t))
	defer cancel()
	trip(t, limited(t), s, 0)
	trip(t, ctx, s, 1)
	large := records(`"` + string(bytes.Repeat([]byte{'x'}, 1<<20)) + `"`)
	sent, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		defer close(sent)
		for seq := uint64(2); ; seq++ {
			if err := s.Send(ctx, seq, large); err != nil {
				ended <- err
				return
			}
			sent <- struct{}{}
		}
	}()
	for going := true; going; {
		select {
		case _, going = <-sent:
		case <-time.After(100 * time.Millisecond): // it is held up, or slow: it ends either way
			if srv.Stats().Requests > 2 { // a batch is there whose fate nobody will tell
				cancel()
			}
		}
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("sent: %v", err)
	}
	if _, why := reason(t, s); !errors.Is(why, context.Canceled) || !errors.Is(why, backend.ErrIndeterminate) {
		t.Errorf("ended: %v", why)
	}
}
