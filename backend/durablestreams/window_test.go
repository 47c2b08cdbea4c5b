package durablestreams_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/durablestreams"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

const (
	batches = 200
	handful = 15 // of them may be sent twice: 4 in the first flight, then one in 32 and as many at its end
)

// On a network where every batch overtakes the one before it that has the chance, few are sent twice.
func TestBatchesThatOvertakeAreHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := &network{way: func(no int) time.Duration { return time.Duration(20-10*(no%2)) * time.Millisecond }}
		replay(t, n.over(t).NewAppender(jsonFormat), batches)
		n.server.wantOnce(t, batches, handful)
		if n.server.gaps == 0 {
			t.Error("none overtook another")
		}
	})
}

// Where they arrive in the order in which they are written, all places are soon in use again, and nothing is sent twice.
func TestBatchesInOrderDoNotWaitForAnswers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := &network{way: func(no int) time.Duration {
			if no == 2 { // the first that has others behind it
				return 20 * time.Millisecond
			}
			return time.Millisecond + time.Duration(no) // those written at one instant do not arrive at one
		}}
		replay(t, n.over(t).NewAppender(jsonFormat), batches)
		n.server.wantOnce(t, batches, 4)
		if n.server.gaps == 0 {
			t.Error("the second batch was not overtaken")
		}
		if got := n.peak(150); got != 5 {
			t.Errorf("%d appends under way at once, want 5", got)
		}
	})
}

// Some transports do not say when a request was written. That must not make them wait for every answer.
func TestTransportThatDoesNotTell(t *testing.T) {
	bubble(t, func(t *testing.T) {
		n := &network{silent: true}
		n.way = func(no int) time.Duration { return time.Duration(no%7+1) * time.Millisecond }
		replay(t, n.over(t).NewAppender(jsonFormat), batches)
		n.server.wantOnce(t, batches, handful)
		if n.server.gaps == 0 {
			t.Error("none overtook another")
		}
		if got := n.peak(100); got < 2 {
			t.Errorf("%d appends under way at once, want more", got)
		}
	})
}

// stuck makes a session whose batch 20 is not written until the network is told what becomes of it, with batches in order.
func stuck(t *testing.T) (*network, backend.Session, chan error) {
	t.Helper()
	fate := make(chan error)
	n := &network{way: func(no int) time.Duration { return time.Duration(3-no%3) * time.Millisecond }}
	n.fault = func(no int, r *http.Request) (func() (*http.Response, error), bool) {
		return func() (*http.Response, error) {
			select {
			case err := <-fate:
				if err != nil {
					return nil, err
				}
				return n.carry(no, r)
			case <-r.Context().Done():
				return nil, r.Context().Err()
			}
		}, r.Header.Get("Producer-Seq") == "100"
	}
	s := open(t, n.over(t).NewAppender(jsonFormat))
	go func() {
		for seq := range 101 {
			if err := s.Send(t.Context(), uint64(seq), one(seq)); err != nil {
				t.Error(err)
			}
		}
	}()
	for seq := range 100 {
		recv(t, s, seq)
	}
	if n.server.gaps == 0 {
		t.Fatal("none overtook another, so their order does not matter")
	}
	synctest.Wait()
	return n, s, fate
}

// A batch behind one that is not written waits, and its wait ends as that one does.
func TestWaitingForTheOneBefore(t *testing.T) {
	t.Run("written", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n, s, fate := stuck(t)
			sent := make(chan error, 1)
			go func() { sent <- s.Send(t.Context(), 101, one(101)) }()
			synctest.Wait()
			select {
			case err := <-sent:
				t.Fatalf("sent beside one that is not written: %v", err)
			default:
			}
			fate <- nil
			if err := <-sent; err != nil {
				t.Error(err)
			}
			recv(t, s, 100, 101)
			n.server.wantOnce(t, 102, handful)
		})
	})
	t.Run("failed", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n, s, fate := stuck(t)
			sent := make(chan error, 1)
			go func() { sent <- s.Send(t.Context(), 101, one(101)) }()
			synctest.Wait()
			fate <- errNetwork
			<-sent // taken or not, as it comes
			wantError(t, s, backend.ErrTransient, backend.ErrIndeterminate, errNetwork)
			n.server.wantOnce(t, 100, handful)
		})
	})
	t.Run("closed", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n, s, _ := stuck(t)
			sent := make(chan error, 1)
			go func() { sent <- s.Send(t.Context(), 101, one(101)) }()
			synctest.Wait()
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			if err := <-sent; !errors.Is(err, backend.ErrClosed) {
				t.Errorf("Send: %v", err)
			}
			wantError(t, s, backend.ErrClosed)
			n.server.wantOnce(t, 100, handful)
		})
	})
	t.Run("given up", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			n, s, fate := stuck(t)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := s.Send(ctx, 101, one(101)); !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, backend.ErrTransient) {
				t.Errorf("Send: %v", err)
			}
			fate <- nil
			recv(t, s, 100) // what was taken comes to its end
			wantError(t, s, backend.ErrTransient, context.DeadlineExceeded)
			n.server.wantOnce(t, 101, handful)
		})
	})
}

// The same on real connections, several of HTTP/1.1 and the streams of one of HTTP/2.
func TestStrictServerIsSentFewBatchesTwice(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			server := newStrict(true)
			h := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Proto != protocol {
					t.Errorf("%s, want %s", r.Proto, protocol)
				}
				server.ServeHTTP(w, r)
			}))
			h.EnableHTTP2 = protocol == "HTTP/2.0"
			if h.EnableHTTP2 {
				h.StartTLS()
			} else {
				h.Start()
			}
			defer h.Close()
			defer h.Client().CloseIdleConnections()
			c, err := durablestreams.New(h.URL, durablestreams.HTTP(h.Client()))
			if err != nil {
				t.Fatal(err)
			}
			p, err := producer.New(t.Context(), c.Stream("s"), codec.JSON[int](), producer.BatchRecords(1))
			if err != nil {
				t.Fatal(err)
			}
			for i := range batches {
				if _, err := p.Enqueue(t.Context(), i); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			server.wantOnce(t, batches, handful)
		})
	}
}
