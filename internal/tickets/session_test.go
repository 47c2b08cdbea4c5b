package tickets_test

import (
	"context"
	"errors"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/internal/tickets"
)

// A fakeSession takes every batch, and acknowledges what the test tells it to acknowledge.
type fakeSession struct {
	acks   chan backend.Ack
	seqs   []uint64
	refuse error
	closed chan struct{}
}

func (f *fakeSession) Send(_ context.Context, seq uint64, _ []backend.Record) error {
	f.seqs = append(f.seqs, seq)
	return f.refuse
}

func (f *fakeSession) Recv(context.Context) (backend.Ack, error) {
	select {
	case ack := <-f.acks:
		return ack, nil
	case <-f.closed:
		return backend.Ack{}, backend.ErrClosed
	}
}

func (f *fakeSession) Close() error {
	close(f.closed)
	return nil
}

func open(t *testing.T) (*fakeSession, *tickets.Session[uint64], []*tickets.Ticket[uint64]) {
	t.Helper()
	f := &fakeSession{acks: make(chan backend.Ack), closed: make(chan struct{})}
	s := tickets.New("store", f, func(a backend.Ack) uint64 { return a.Seq })
	var all []*tickets.Ticket[uint64]
	for range 3 {
		ticket, err := s.Send(t.Context(), nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ticket)
	}
	return f, s, all
}

func TestAnAckResolvesTheTicketsOfAllBatchesThatItCovers(t *testing.T) {
	f, s, all := open(t)
	f.acks <- backend.Ack{Seq: 1}
	for i, ticket := range all[:2] {
		if got, err := ticket.Wait(t.Context()); err != nil || got != 1 {
			t.Errorf("batch %d: %d, %v", i, got, err)
		}
	}
	select {
	case <-all[2].Done():
		t.Error("a batch without an ack is decided")
	default:
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := all[2].Wait(t.Context()); !errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, backend.ErrClosed) {
		t.Errorf("%v, want ErrIndeterminate and ErrClosed", err)
	}
}

func TestARefusedBatchLeavesItsSeqToTheNextBatch(t *testing.T) {
	f, s, _ := open(t)
	defer s.Close()
	f.refuse = backend.ErrRejected
	if ticket, err := s.Send(t.Context(), nil, nil); !errors.Is(err, backend.ErrRejected) || ticket != nil {
		t.Errorf("%v, %v", ticket, err)
	}
	f.refuse = nil
	if _, err := s.Send(t.Context(), nil, nil); err != nil {
		t.Error(err)
	}
	if n := len(f.seqs); n != 5 || f.seqs[3] != 3 || f.seqs[4] != 3 {
		t.Errorf("seqs %d", f.seqs)
	}
}

func TestTheEndOfTheContextEndsTheWaitAlone(t *testing.T) {
	f, s, all := open(t)
	defer s.Close()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := all[0].Wait(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want Canceled", err)
	}
	f.acks <- backend.Ack{Seq: 0}
	if _, err := all[0].Wait(t.Context()); err != nil {
		t.Error(err)
	}
}
