package s2_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

func session(t *testing.T, st *s2.Stream) *s2.AppendSession {
	t.Helper()
	a, err := st.OpenAppendSession(t.Context())
	check(t, err)
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// Batches are pipelined, each with a condition of its own, and stored in order.
func TestAnAppendSessionStoresBatchesOnTheirConditions(t *testing.T) {
	_, st := fresh(t, nil)
	a := session(t, st)
	var tickets []*s2.Ticket
	for i := range uint64(200) {
		c := s2.Condition{}
		if i%2 == 0 {
			at := 2 * i
			c.SeqNum = &at
		}
		ticket, err := a.Submit(t.Context(), values(fmt.Sprint(2*i), fmt.Sprint(2*i+1)), c)
		check(t, err)
		tickets = append(tickets, ticket)
	}
	for i, ticket := range tickets {
		for range 2 { // a ticket may be asked again
			at, err := ticket.Wait(t.Context())
			check(t, err)
			if at.Start.SeqNum != uint64(2*i) || at.End.SeqNum != uint64(2*i+2) || at.Start.Timestamp == 0 || at.End.Timestamp < at.Start.Timestamp {
				t.Fatalf("batch %d is at %+v", i, at)
			}
		}
	}
	exactly(t, st, 400)
}

// A failed condition ends the session. The server stores neither the batch nor the batches behind, and the errors say so.
func TestAFailedConditionEndsAnAppendSession(t *testing.T) {
	_, st := fresh(t, nil)
	a := session(t, st)
	first, err := a.Submit(t.Context(), values("0"), s2.Condition{})
	check(t, err)
	wrong := uint64(7)
	second, err := a.Submit(t.Context(), values("x"), s2.Condition{SeqNum: &wrong})
	check(t, err)
	third, thirdErr := a.Submit(t.Context(), values("y"), s2.Condition{})
	_, err = first.Wait(t.Context())
	check(t, err)
	errs := []error{thirdErr}
	for _, ticket := range []*s2.Ticket{second, third} {
		if ticket != nil {
			_, err := ticket.Wait(t.Context())
			errs = append(errs, err)
		}
	}
	for _, err := range errs {
		if err != nil && (!errors.Is(err, backend.ErrConflict) || errors.Is(err, backend.ErrIndeterminate)) {
			t.Errorf("%v, want ErrConflict alone", err)
		}
	}
	var refused *s2.Error
	if _, err := second.Wait(t.Context()); !errors.As(err, &refused) || refused.SeqNum != 1 {
		t.Errorf("%v, want that 1 is next", err)
	}
	if _, err := a.Submit(t.Context(), values("z"), s2.Condition{}); !errors.Is(err, backend.ErrConflict) {
		t.Errorf("behind the end: %v", err)
	}
	exactly(t, st, 1)
}

// A batch in flight on a lost connection may be stored. A batch beyond the limits of S2 is refused alone.
func TestABrokenAppendSessionSaysWhatMayBeStored(t *testing.T) {
	srv, st := fresh(t, nil)
	a := session(t, st)
	_, err := a.Submit(t.Context(), nil, s2.Condition{})
	want(t, err, backend.ErrRejected)
	fence, err := a.Submit(t.Context(), []backend.Record{s2.FenceRecord("mine")}, s2.Condition{})
	check(t, err)
	_, err = fence.Wait(t.Context())
	check(t, err)
	srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Drop()})
	mine := "mine"
	lost, err := a.Submit(t.Context(), values("a"), s2.Condition{FencingToken: &mine})
	check(t, err)
	_, err = lost.Wait(t.Context())
	want(t, err, backend.ErrIndeterminate)
	check(t, a.Close())
	_, err = a.Submit(t.Context(), values("b"), s2.Condition{})
	want(t, err, backend.ErrClosed)
}

// Close gives up the batches in flight. The server may have stored the batches, and the tickets say so.
func TestTicketsOfAClosedAppendSessionAreInDoubt(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, nil)
	a := session(t, st)
	srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Received, Do: s2test.Stall()})
	ticket, err := a.Submit(t.Context(), values("a"), s2.Condition{})
	check(t, err)
	check(t, a.Close())
	_, err = ticket.Wait(t.Context())
	want(t, err, backend.ErrIndeterminate)
	want(t, err, backend.ErrClosed)
}
