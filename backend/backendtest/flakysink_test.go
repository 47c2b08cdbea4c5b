package backendtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
)

func recs(values ...string) []backend.Record {
	var all []backend.Record
	for _, v := range values {
		all = append(all, backend.Record{Value: []byte(v)})
	}
	return all
}

func (s *toy) values() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []string
	for _, r := range s.recs {
		all = append(all, string(r.Value))
	}
	return strings.Join(all, " ")
}

func open(t *testing.T, a backend.Appender) backend.Session {
	t.Helper()
	s, err := a.Open(t.Context())
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return s
}

// drain receives until the session ends, and returns the seqs and why.
func drain(t *testing.T, s backend.Session) (seqs []uint64, reason error) {
	t.Helper()
	for {
		ack, err := s.Recv(t.Context())
		if err != nil {
			return seqs, err
		}
		seqs = append(seqs, ack.Seq)
	}
}

// sendAll sends single-record batches from seq on until one is not taken.
func sendAll(t *testing.T, s backend.Session, seq uint64, values ...string) error {
	t.Helper()
	for i, v := range values {
		if err := s.Send(t.Context(), seq+uint64(i), recs(v)); err != nil {
			return err
		}
	}
	return nil
}

func TestFlakySinkEndsASession(t *testing.T) {
	refusal := &backend.RecordError{Index: 0, Err: backend.ErrRejected}
	for _, test := range []struct {
		name   string
		fault  Fault
		taken  bool // whether Send takes the third batch
		acks   []uint64
		stored string
		is     []error // what the reason is, without Dedup
		isNot  []error
	}{
		{"fail", Nth(OnSend, 3, Fail(nil)), false, []uint64{0, 1}, "a b",
			[]error{backend.ErrTransient, ErrInjected}, []error{backend.ErrIndeterminate}},
		{"rotate", Rotate(2), false, []uint64{0, 1}, "a b", []error{backend.ErrTransient}, []error{backend.ErrIndeterminate}},
		{"drop before", Nth(OnSend, 3, DropBefore(nil)), true, []uint64{0, 1}, "a b",
			[]error{backend.ErrIndeterminate}, []error{backend.ErrTransient}},
		{"drop after", Nth(OnSend, 3, DropAfter(nil)), true, []uint64{0, 1}, "a b c",
			[]error{backend.ErrIndeterminate}, []error{backend.ErrTransient}},
		{"refuse", RefuseNamed(func(r *backend.Record) bool { return string(r.Value) == "c" }, backend.ErrRejected), true,
			[]uint64{0, 1}, "a b", []error{backend.ErrRejected}, []error{backend.ErrIndeterminate}},
		{"refuse unnamed", RefuseUnnamed(func(r *backend.Record) bool { return string(r.Value) == "c" }, backend.ErrTooLarge), true,
			[]uint64{0, 1}, "a b", []error{backend.ErrTooLarge}, []error{backend.ErrRejected}},
		{"one of them is refused", Nth(OnSend, 3, Refuse(fmt.Errorf("%w: %w", backend.ErrIndeterminate, refusal))), true, nil, "a b",
			[]error{backend.ErrRejected, backend.ErrIndeterminate}, nil},
		{"acks lost with the connection", Nth(OnAck, 2, Fail(nil)), true, []uint64{0}, "a b c",
			[]error{backend.ErrIndeterminate}, []error{backend.ErrTransient}},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newToy()
				sink := NewFlakySink(store, test.fault)
				s := open(t, sink.NewAppender(backend.Format{}))
				defer s.Close()
				if err := sendAll(t, s, 0, "a", "b"); err != nil && test.taken {
					t.Fatal(err)
				}
				err := s.Send(t.Context(), 2, recs("c"))
				lost := strings.HasPrefix(test.name, "acks") // by then or later
				if taken := err == nil || lost; taken != test.taken {
					t.Errorf("third batch taken: %v (%v)", taken, err)
				}
				acks, reason := drain(t, s)
				if !slices.Equal(acks, test.acks) {
					t.Errorf("acks %v, want %v", acks, test.acks)
				}
				for _, is := range test.is {
					if !errors.Is(reason, is) {
						t.Errorf("reason %q is not %q", reason, is)
					}
				}
				for _, is := range test.isNot {
					if errors.Is(reason, is) {
						t.Errorf("reason %q is %q", reason, is)
					}
				}
				var named *backend.RecordError
				if got, want := errors.As(reason, &named), test.name == "refuse" || test.name == "one of them is refused"; got != want {
					t.Errorf("a RecordError is in %q: %v", reason, got)
				}
				if err := s.Send(t.Context(), 3, recs("d")); err == nil {
					t.Error("a batch was taken after the reason")
				}
				want := test.stored
				if lost && err != nil {
					want = "a b"
				}
				if got := store.values(); !strings.HasPrefix(got, want) || strings.Contains(got, "d") {
					t.Errorf("stored %q, want %q", got, want)
				}
			})
		})
	}
}

func TestFlakySinkResend(t *testing.T) {
	for _, test := range []struct {
		dedup  bool
		stored string
	}{
		{false, "a b b c"},
		{true, "a b c"},
	} {
		t.Run(fmt.Sprintf("dedup %v", test.dedup), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store := newToy()
				store.dedup = false // the wrapper has to know on its own
				sink := NewFlakySink(store, Nth(OnSend, 2, DropAfter(nil)))
				sink.Dedup = test.dedup
				a := sink.NewAppender(backend.Format{})
				s := open(t, a)
				sendAll(t, s, 0, "a", "b")
				if _, err := a.Open(t.Context()); err == nil {
					t.Error("a second session was opened beside the first")
				}
				if _, reason := drain(t, s); errors.Is(reason, backend.ErrTransient) != test.dedup {
					t.Errorf("reason %q", reason)
				}
				s.Close()

				s = open(t, a)
				sendAll(t, s, 1, "b", "c")
				for want := uint64(1); want <= 2; want++ {
					ack, err := s.Recv(t.Context())
					if err != nil || ack.Seq != want {
						t.Fatalf("ack %d, %v, want %d", ack.Seq, err, want)
					}
					if at := ack.OffsetOf(0); test.dedup && at != toyOffset(int(want)) {
						t.Errorf("batch %d is at %q", want, at)
					}
				}
				if err := sendAll(t, s, 2, "c"); !errors.Is(err, backend.ErrConflict) {
					t.Errorf("a seq acknowledged before: %v", err)
				}
				s.Close()
				if got := store.values(); got != test.stored {
					t.Errorf("stored %q, want %q", got, test.stored)
				}
			})
		})
	}
}

func TestFlakySinkAcks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over := func(a backend.Ack) backend.Ack { a.Seq += 10; return a }
		sink := NewFlakySink(newToy(), Nth(OnAck, 1, LoseAck()), Nth(OnAck, 3, ForgeAck(over)), Every(OnAck, 1, Delay(time.Second)))
		s := open(t, sink.NewAppender(backend.Format{}))
		defer s.Close()
		start := time.Now()
		sendAll(t, s, 0, "a", "b", "c")
		for _, want := range []uint64{1, 12} {
			if ack, err := s.Recv(t.Context()); err != nil || ack.Seq != want {
				t.Errorf("ack %d, %v, want %d", ack.Seq, err, want)
			}
		}
		if took := time.Since(start); took != time.Second {
			t.Errorf("three acks a second late, on their way at once, took %v", took)
		}
		if got := sink.Injected(); got["Delay"] != 3 || got["LoseAck"] != 1 || got["ForgeAck"] != 1 || len(got) != 3 {
			t.Errorf("injected %v", got)
		}
		if sink.Calls(OnSend) != 3 || sink.Calls(OnAck) != 3 || sink.Calls(OnOpen) != 1 {
			t.Errorf("%d sends, %d acks, %d openings", sink.Calls(OnSend), sink.Calls(OnAck), sink.Calls(OnOpen))
		}
	})
}

// The last words are true of a batch whose ack was dropped on the way, too.
func TestFlakySinkLastWordsAfterALostAck(t *testing.T) {
	for _, end := range []Effect{Fail(nil), Refuse(backend.ErrRejected)} {
		synctest.Test(t, func(t *testing.T) {
			sink := NewFlakySink(newToy(), Nth(OnAck, 2, LoseAck()), Nth(OnSend, 3, end))
			s := open(t, sink.NewAppender(backend.Format{}))
			defer s.Close()
			sendAll(t, s, 0, "a", "b", "c")
			acks, reason := drain(t, s)
			if !slices.Equal(acks, []uint64{0}) || !errors.Is(reason, backend.ErrIndeterminate) || errors.Is(reason, backend.ErrTransient) {
				t.Errorf("acks %v and %v", acks, reason)
			}
		})
	}
}

func TestFlakySinkStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := newToy()
		store.limits.InFlight = 2
		sink := NewFlakySink(store, Nth(OnSend, 2, Stall()))
		s := open(t, sink.NewAppender(backend.Format{}))
		sendAll(t, s, 0, "a", "b")
		if ack, err := s.Recv(t.Context()); err != nil || ack.Seq != 0 {
			t.Fatalf("ack %d, %v", ack.Seq, err)
		}
		sendAll(t, s, 2, "c")
		sent, received := make(chan error, 1), make(chan error, 1)
		go func() { sent <- s.Send(t.Context(), 3, recs("d")) }()
		go func() { _, err := s.Recv(t.Context()); received <- err }()
		<-time.After(time.Hour) // in the bubble's time
		if len(sent) > 0 || len(received) > 0 {
			t.Error("a stalled session went on")
		}
		s.Close()
		if err := <-sent; !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Send after Close: %v", err)
		}
		if err := <-received; !errors.Is(err, backend.ErrClosed) {
			t.Errorf("Recv after Close: %v", err)
		}
		if got := store.values(); got != "a" {
			t.Errorf("stored %q", got)
		}
	})
}

func TestFlakySinkLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := NewFlakySink(newToy(), Nth(OnOpen, 1, Lifetime(time.Minute, nil)), Nth(OnOpen, 2, Lifetime(0, nil)))
		a := sink.NewAppender(backend.Format{})
		for _, want := range []time.Duration{time.Minute, 0} {
			start := time.Now()
			s := open(t, a)
			_, reason := drain(t, s)
			if took := time.Since(start); took != want || !errors.Is(reason, backend.ErrTransient) {
				t.Errorf("ended after %v, want %v: %v", took, want, reason)
			}
			s.Close()
		}
		s := open(t, a)
		sendAll(t, s, 0, "a")
		sink.Break(backend.ErrUnauthorized)
		if acks, reason := drain(t, s); len(acks) != 0 || !errors.Is(reason, backend.ErrUnauthorized) {
			t.Errorf("broken with acks %v and %v", acks, reason)
		}
		s.Close()
	})
}

func TestFlakySinkOpenAndClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := NewFlakySink(newToy(), Nth(OnOpen, 1, Fail(backend.ErrUnauthorized)), Nth(OnOpen, 2, Hang()), Nth(OnClose, 1, Fail(nil)))
		a := sink.NewAppender(backend.Format{})
		if _, err := a.Open(t.Context()); !errors.Is(err, backend.ErrUnauthorized) || !errors.Is(err, ErrInjected) {
			t.Errorf("first opening: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := a.Open(ctx); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backend.ErrTransient) {
			t.Errorf("second opening: %v", err)
		}
		s := open(t, a)
		if err := s.Close(); !errors.Is(err, ErrInjected) {
			t.Errorf("first Close: %v", err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

func TestAnEffectThatCannotHappenPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("Truncate on Open went unnoticed")
		}
	}()
	NewFlakySink(newToy(), Nth(OnOpen, 1, Truncate(1))).NewAppender(backend.Format{}).Open(t.Context())
}

// The ack of a stored batch may be lost when the session already ends for another reason, which alone would deny that the
// batch is stored, or call it refused.
func TestFlakySinkAdmitsAnAckLostBehindTheReason(t *testing.T) {
	for _, end := range []error{nil, backend.ErrRejected} {
		synctest.Test(t, func(t *testing.T) {
			ended := make(chan struct{})
			sink := NewFlakySink(newToy(), Nth(OnSend, 2, Fail(end)), func(c Call) Effect {
				if c.Op != OnAck {
					return Effect{}
				}
				<-ended
				return Fail(nil)
			})
			s := open(t, sink.NewAppender(backend.Format{}))
			defer s.Close()
			if err := sendAll(t, s, 0, "a"); err != nil {
				t.Fatal(err)
			}
			if err := sendAll(t, s, 1, "b"); err == nil {
				t.Fatal("the second batch was taken")
			}
			close(ended)
			acks, reason := drain(t, s)
			if len(acks) > 0 || !errors.Is(reason, backend.ErrIndeterminate) || errors.Is(reason, backend.ErrRejected) {
				t.Errorf("acks %v, and then %v, want none and ErrIndeterminate alone", acks, reason)
			}
		})
	}
}

// A refusal condemns the first batch that is not acknowledged, so it may not be said of a batch that the session has taken
// and withheld from the store.
func TestFlakySinkDoesNotBlameAStalledBatch(t *testing.T) {
	for _, end := range []Effect{Fail(backend.ErrRejected), Refuse(backend.ErrRejected)} {
		synctest.Test(t, func(t *testing.T) {
			sink := NewFlakySink(newToy(), Nth(OnSend, 1, Stall()), Nth(OnSend, 2, end))
			s := open(t, sink.NewAppender(backend.Format{}))
			defer s.Close()
			sendAll(t, s, 0, "a", "b")
			if acks, reason := drain(t, s); len(acks) > 0 || !errors.Is(reason, backend.ErrIndeterminate) {
				t.Errorf("acks %v, and then %v, want none and ErrIndeterminate", acks, reason)
			}
		})
	}
}

// slowClose is a sink whose sessions end at once when they are closed, and whose Close returns later.
type slowClose struct {
	backend.Sink
	proceed chan struct{}
}

func (s *slowClose) NewAppender(f backend.Format) backend.Appender {
	return &slowAppender{s.Sink.NewAppender(f), s}
}

type slowAppender struct {
	backend.Appender
	sink *slowClose
}

func (a *slowAppender) Open(ctx context.Context) (backend.Session, error) {
	s, err := a.Appender.Open(ctx)
	return &slowSession{s, a.sink}, err
}

type slowSession struct {
	backend.Session
	sink *slowClose
}

func (s *slowSession) Close() error {
	err := s.Session.Close()
	<-s.sink.proceed
	return err
}

func TestFlakySinkMayBeOpenedAgainAfterAnyOfSeveralCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &slowClose{newToy(), make(chan struct{})}
		a := NewFlakySink(store).NewAppender(backend.Format{})
		s := open(t, a)
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- s.Close() }()
		synctest.Wait()
		go func() { second <- s.Close() }()
		synctest.Wait()
		if len(second) > 0 {
			t.Error("the second Close returned while the first was at work")
		}
		close(store.proceed)
		<-second
		open(t, a).Close()
		<-first
	})
}
