package streamlog_test

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"testing/synctest"

	"github.com/headrace/headrace/backend"
)

func TestSeqIsDenseOverSessions(t *testing.T) {
	s := newSlowStore()
	s.auto = true
	a := newLog(s, backend.Limits{}).NewAppender(backend.Format{})

	one := open(t, a)
	send(t, one, 0, "a", "b")
	wantAck(t, one, 0, "0")
	wantErr(t, one.Send(ctx, 0, recs("a", "b")), backend.ErrConflict)
	_, err := one.Recv(ctx)
	wantErr(t, err, backend.ErrConflict)
	one.Close()

	two := open(t, a)
	wantErr(t, two.Send(ctx, 2, recs("gap")), backend.ErrConflict)
	two.Close()

	three := open(t, a)
	send(t, three, 1, "c")
	wantAck(t, three, 1, "2")
	if got, want := s.values(), []string{"a", "b", "c"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("stored %q, want %q", got, want)
	}
}

func TestResendIsAckedAndNotStoredTwice(t *testing.T) {
	s := newSlowStore()
	s.auto = true
	a := newLog(s, backend.Limits{}).NewAppender(backend.Format{})
	one := open(t, a)
	send(t, one, 0, "a")
	send(t, one, 1, "b", "c")
	one.Close() // neither ack was received

	two := open(t, a)
	send(t, two, 0, "a")
	send(t, two, 1, "b", "c")
	send(t, two, 2, "d")
	wantAck(t, two, 0, "0")
	wantAck(t, two, 1, "1")
	wantAck(t, two, 2, "3")
	if got, want := s.values(), []string{"a", "b", "c", "d"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("stored %q, want %q", got, want)
	}
}

func TestResendOfOtherRecordsIsRefused(t *testing.T) {
	for name, other := range map[string][]backend.Record{
		"value":  recs("a", "x"),
		"fewer":  recs("a"),
		"header": {{Value: []byte("a")}, {Value: []byte("b"), Headers: backend.Headers{{Name: "k"}}}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSlowStore()
			s.auto = true
			a := newLog(s, backend.Limits{}).NewAppender(backend.Format{})
			one := open(t, a)
			send(t, one, 0, "a", "b")
			one.Close()
			wantErr(t, open(t, a).Send(ctx, 0, other), backend.ErrConflict)
		})
	}
}

// The commit of the first session is under way when the second one sends the same batch: it waits, and then either
// acknowledges or stores it.
func TestResendWaitsForTheCommitUnderWay(t *testing.T) {
	for name, failure := range map[string]error{"stored": nil, "failed": backend.ErrTransient} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newSlowStore()
				a := newLog(s, backend.Limits{}).NewAppender(backend.Format{})
				one := open(t, a)
				send(t, one, 0, "a")
				finish := s.begin()
				one.Close()

				two := open(t, a)
				sent := make(chan error, 1)
				go func() { sent <- two.Send(ctx, 0, recs("a")) }()
				synctest.Wait()
				if len(sent) != 0 {
					t.Fatal("Send did not wait")
				}
				finish(failure)
				if err := <-sent; err != nil {
					t.Fatal(err)
				}
				s.step(nil)
				wantAck(t, two, 0, "0")
				if got := s.values(); len(got) != 1 {
					t.Fatalf("stored %q", got)
				}
			})
		})
	}
}

func TestCloseDropsWhatWasNotBegun(t *testing.T) {
	s := newSlowStore()
	a := newLog(s, backend.Limits{}).NewAppender(backend.Format{})
	one := open(t, a)
	send(t, one, 0, "a")
	finish := s.begin()
	send(t, one, 1, "b")
	one.Close()
	finish(nil)
	s.step(nil)
	if got := s.values(); !reflect.DeepEqual(got, []string{"a"}) {
		t.Fatalf("stored %q, want what had begun", got)
	}
	_, err := one.Recv(ctx)
	wantErr(t, err, backend.ErrClosed)
	wantErr(t, one.Send(ctx, 2, recs("c")), backend.ErrClosed)
}

func TestSecondCloseLeavesTheNextSessionAlone(t *testing.T) {
	s := newSlowStore()
	a := newLog(s, backend.Limits{}).NewAppender(backend.Format{})
	one := open(t, a)
	one.Close()
	two := open(t, a)
	send(t, two, 0, "a") // not begun yet
	one.Close()
	send(t, two, 1, "b")
	s.step(nil)
	wantAck(t, two, 0, "0")
	wantAck(t, two, 1, "1")
	if got, want := s.values(), []string{"a", "b"}; !reflect.DeepEqual(got, want) {
		t.Fatalf("stored %q, want %q", got, want)
	}
}

func TestNothingIsBegunBehindAFailure(t *testing.T) {
	s := newSlowStore()
	cause := errors.New("no space")
	a := newLog(s, backend.Limits{}).NewAppender(backend.Format{})
	one := open(t, a)
	send(t, one, 0, "a")
	s.step(nil)
	send(t, one, 1, "b")
	finish := s.begin()
	send(t, one, 2, "c")
	finish(errors.Join(backend.ErrTransient, cause))
	s.step(nil)

	wantAck(t, one, 0, "0") // acks before the reason
	_, err := one.Recv(ctx)
	wantErr(t, err, backend.ErrTransient, cause)
	wantErr(t, one.Send(ctx, 3, recs("d")), backend.ErrTransient, cause)
	if got := s.values(); !reflect.DeepEqual(got, []string{"a"}) {
		t.Fatalf("stored %q, want a prefix", got)
	}
	one.Close()
	two := open(t, a)
	send(t, two, 1, "b")
	s.step(nil)
	wantAck(t, two, 1, "1")
}

// A refusal speaks of the first batch that is not acknowledged, so it waits for those before it.
func TestRefusalWaitsForTheBatchesBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowStore()
		a := newLog(s, backend.Limits{RecordBytes: 3}).NewAppender(backend.Format{})
		one := open(t, a)
		send(t, one, 0, "a")
		err := one.Send(ctx, 1, recs("b", "long"))
		wantErr(t, err, backend.ErrTooLarge)
		if re, ok := errors.AsType[*backend.RecordError](err); !ok || re.Index != 1 {
			t.Fatalf("%v does not name the record", err)
		}
		type result struct {
			ack backend.Ack
			err error
		}
		got := make(chan result, 1)
		go func() {
			ack, err := one.Recv(ctx)
			got <- result{ack, err}
		}()
		synctest.Wait()
		if len(got) != 0 {
			t.Fatal("Recv did not wait for the batch before the refused one")
		}
		s.step(nil)
		if r := <-got; r.err != nil || r.ack.Seq != 0 {
			t.Fatalf("Recv: %d, %v", r.ack.Seq, r.err)
		}
		_, err = one.Recv(ctx)
		wantErr(t, err, backend.ErrTooLarge)
		one.Close()
		two := open(t, a)
		send(t, two, 1, "b") // the seq is free
		s.step(nil)
		wantAck(t, two, 1, "1")
	})
}

// When the batch before a refused one fails, that failure is the reason: a refusal would condemn the wrong batch.
func TestFailureReplacesALaterRefusal(t *testing.T) {
	s := newSlowStore()
	a := newLog(s, backend.Limits{BatchRecords: 1}).NewAppender(backend.Format{})
	one := open(t, a)
	send(t, one, 0, "a")
	wantErr(t, one.Send(ctx, 1, recs("b", "c")), backend.ErrTooLarge)
	s.step(backend.ErrTransient)
	_, err := one.Recv(ctx)
	wantErr(t, err, backend.ErrTransient)
}

func TestContextEndsTheSession(t *testing.T) {
	t.Run("recv with a batch unacked", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSlowStore()
			a := newLog(s, backend.Limits{}).NewAppender(backend.Format{})
			one := open(t, a)
			send(t, one, 0, "a")
			short, cancel := context.WithCancel(ctx)
			go cancel()
			_, err := one.Recv(short)
			wantErr(t, err, backend.ErrTransient, backend.ErrIndeterminate, context.Canceled)
			s.step(nil) // too late: the reason was told
			_, err = one.Recv(ctx)
			wantErr(t, err, backend.ErrTransient, backend.ErrIndeterminate, context.Canceled)
			wantErr(t, one.Send(ctx, 1, recs("b")), backend.ErrTransient, backend.ErrIndeterminate, context.Canceled)
		})
	})
	t.Run("recv with nothing unacked", func(t *testing.T) {
		one := open(t, newLog(newSlowStore(), backend.Limits{}).NewAppender(backend.Format{}))
		short, cancel := context.WithCancel(ctx)
		cancel()
		_, err := one.Recv(short)
		wantErr(t, err, backend.ErrTransient, context.Canceled)
	})
	t.Run("send without room", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := newSlowStore()
			one := open(t, newLog(s, backend.Limits{InFlight: 1}).NewAppender(backend.Format{}))
			send(t, one, 0, "a")
			short, cancel := context.WithCancel(ctx)
			go cancel()
			wantErr(t, one.Send(short, 1, recs("b")), backend.ErrTransient, context.Canceled)
			s.step(nil)
			wantAck(t, one, 0, "0")
			_, err := one.Recv(ctx)
			wantErr(t, err, backend.ErrTransient, context.Canceled)
		})
	})
	t.Run("open", func(t *testing.T) {
		short, cancel := context.WithCancel(ctx)
		cancel()
		_, err := newLog(newSlowStore(), backend.Limits{}).NewAppender(backend.Format{}).Open(short)
		wantErr(t, err, backend.ErrTransient, context.Canceled)
	})
}

func TestSendWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowStore()
		s.auto = true
		one := open(t, newLog(s, backend.Limits{InFlight: 2}).NewAppender(backend.Format{}))
		send(t, one, 0, "a")
		send(t, one, 1, "b")
		sent := make(chan error, 1)
		go func() { sent <- one.Send(ctx, 2, recs("c")) }()
		synctest.Wait()
		if len(sent) != 0 {
			t.Fatal("a third batch was taken")
		}
		wantAck(t, one, 0, "0") // what makes room is that the ack was received
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
	})
}

func TestCloseEndsBlockedCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowStore()
		one := open(t, newLog(s, backend.Limits{InFlight: 1}).NewAppender(backend.Format{}))
		send(t, one, 0, "a")
		sent, received := make(chan error, 1), make(chan error, 1)
		go func() { sent <- one.Send(ctx, 1, recs("b")) }()
		go func() {
			_, err := one.Recv(ctx)
			received <- err
		}()
		synctest.Wait()
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
		wantErr(t, <-sent, backend.ErrClosed)
		wantErr(t, <-received, backend.ErrClosed)
		if err := one.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

func TestEndOfTheStoreEndsEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlowStore()
		log := newLog(s, backend.Limits{})
		one := open(t, log.NewAppender(backend.Format{}))
		r, err := log.OpenReader(ctx, backend.Earliest)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Read(ctx); err != nil {
			t.Fatal(err)
		}
		received, read := make(chan error, 1), make(chan error, 1)
		go func() {
			_, err := one.Recv(ctx)
			received <- err
		}()
		go func() {
			_, err := r.Read(ctx)
			read <- err
		}()
		synctest.Wait()
		s.board.End(backend.ErrClosed)
		wantErr(t, <-received, backend.ErrClosed)
		wantErr(t, <-read, backend.ErrClosed)
		wantErr(t, one.Send(ctx, 0, recs("a")), backend.ErrClosed)
		_, err = log.OpenReader(ctx, backend.Earliest)
		wantErr(t, err, backend.ErrClosed)
		_, err = log.NewAppender(backend.Format{}).Open(ctx)
		wantErr(t, err, backend.ErrClosed)
	})
}
