package zerobus_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// The defects of the core below all of the vendor's bindings. The defects of the Go binding are in otherclients_test.go.

func TestServerThatDropsWhatItAcceptsIsNotHammered(t *testing.T) {
	var schedules []string
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			srv := quiet(t)
			srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Times: -1, Do: zerobustest.Status(codes.Unavailable, "overloaded")})
			var at []time.Duration
			began := time.Now()
			p := produce(t, sinkOf(srv), producer.Attempts(13), producer.Observe(producer.Hooks{SessionOpened: func(producer.SessionEvent) { at = append(at, time.Since(began)) }}))
			err := p.Send(t.Context(), row{0})
			if !errors.Is(err, backend.ErrIndeterminate) || !strings.Contains(err.Error(), "13 attempts without progress") {
				t.Error(err)
			}
			if len(at) != 13 || at[3] < 150*time.Millisecond || at[12] < 15*time.Second {
				t.Errorf("opened at %v", at)
			}
			schedules = append(schedules, fmt.Sprint(at))
		})
	}
	if schedules[0] == schedules[1] {
		t.Errorf("two clients come back together: %v", schedules[0])
	}
	t.Log(schedules[0])
}

func TestAckTimeoutDoesNotCountIdleTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckAfter(900*time.Millisecond)))
		p := produce(t, sinkOf(srv), producer.AckTimeout(time.Second))
		for i := range 5 {
			pass(850 * time.Millisecond)
			if err := p.Send(t.Context(), row{i}); err != nil {
				t.Fatal(err)
			}
		}
		if s := srv.Stats(); s.Streams != 1 || s.Records != 5 {
			t.Errorf("%+v: sent again", s)
		}
	})
}

func TestNothingIsSentAfterACloseSignal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		// The signal comes with the third request. The ack of the requests before the signal comes 200 ms later.
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Stored, Times: 2, Do: zerobustest.Silence()})
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Stored, Do: zerobustest.Then(
			zerobustest.CloseSignal(time.Minute), zerobustest.Delay(200*time.Millisecond), zerobustest.Ack(2))})
		p := produce(t, sinkOf(srv), producer.BatchRecords(1), producer.Linger(0))
		enqueue(t, p, 0, 3)
		synctest.Wait()
		began := time.Now()
		enqueue(t, p, 3, 100)
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		// The pause ends with the last ack, and does not last the server's minute: no request was sent after the signal.
		within(t, began, 200*time.Millisecond+pauseLeast, 200*time.Millisecond+pauseMost)
		if heard(t, srv) != 1 || !slices.Equal(values(srv), numbered(103)) {
			t.Errorf("%q", requests(srv))
		}
	})
}

// Acks beyond the last request, acks that go back, acks without an offset, unknown messages and a second create response are not
// believed. They do not spoil later acks, and a producer goes on after each.
func TestImpossibleAcksAreNotBelieved(t *testing.T) {
	for name, do := range map[string]zerobustest.Effect{
		"beyond what was sent":     zerobustest.Ack(5),
		"the largest there is":     zerobustest.Ack(1<<63 - 1),
		"below 0":                  zerobustest.Ack(-2),
		"without an offset":        zerobustest.AckWithoutOffset(),
		"an unknown message":       zerobustest.Reply(nil),
		"a second create response": zerobustest.NoStreamID(),
		"not protobuf":             zerobustest.Reply([]byte{0xff}),
		"more than is read":        zerobustest.Reply(make([]byte, 1<<20)),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := quiet(t)
				srv.Inject(zerobustest.Fault{Stage: zerobustest.Stored, Do: do})
				s := open(t, sinkOf(srv))
				if err := s.Send(t.Context(), 0, records(`{}`)); err != nil {
					t.Fatal(err)
				}
				acked, err := reason(t, s)
				wantIs(t, err, backend.ErrIndeterminate)
				// gRPC itself refuses a message that is too large, with a status.
				told := errors.As(err, new(*zerobus.Error)) || errors.As(err, new(*zerobus.ProtocolError))
				if len(acked) > 0 || !told {
					t.Errorf("%v acknowledged, then %v", acked, err)
				}
				srv.Inject(zerobustest.Fault{Stage: zerobustest.Stored, Do: do})
				p := produce(t, sinkOf(srv))
				for i := range 3 {
					if err := p.Send(t.Context(), row{i}); err != nil {
						t.Error(err)
					}
				}
			})
		})
	}
}

func TestBackpressureCountsBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		p, err := producer.New(t.Context(), sinkOf(srv), jsonCodec(), producer.DrainTimeout(0)) // 32 MiB by default
		if err != nil {
			t.Fatal(err)
		}
		defer p.Close()
		big := long(0, 10<<20-100<<10)
		n := 0
		for err == nil {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if _, err = p.Enqueue(ctx, big); err == nil {
				n++
			}
			cancel()
		}
		if s := p.Stats(); !errors.Is(err, producer.ErrFull) || n != 3 || s.BufferedBytes > 32<<20 {
			t.Errorf("%d records of 10 MB, %d bytes, then %v", n, s.BufferedBytes, err)
		}
	})
}

func TestBlockedEnqueueOutlivesItsStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.Acks(zerobustest.AckNever()))
		p := produce(t, sinkOf(srv), producer.BufferBytes(1000), producer.BatchRecords(1))
		var mu sync.Mutex
		var accepted, refused []string
		var wg sync.WaitGroup
		for i := range 50 {
			wg.Go(func() {
				_, err := p.Enqueue(t.Context(), row{i})
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					accepted = append(accepted, fmt.Sprintf(`{"n":%d}`, i))
				} else if refused = append(refused, ""); !errors.Is(err, backend.ErrUnauthorized) {
					t.Error(err)
				}
			})
		}
		synctest.Wait() // those who got no room are blocked
		srv.End(table, zerobustest.Status(codes.PermissionDenied, "grant revoked"))
		wg.Wait()
		_ = p.Close()
		got := left(p)
		for i := range got {
			got[i], _, _ = strings.Cut(got[i], " ")
		}
		slices.Sort(got)
		slices.Sort(accepted)
		if !slices.Equal(got, accepted) || len(refused) == 0 || len(accepted) == 0 {
			t.Errorf("%d accepted, %d refused, %d unacked", len(accepted), len(refused), len(got))
		}
	})
	synctest.Test(t, func(t *testing.T) { // nor is anything lost when a Close runs out of time
		p := produce(t, tableOf(quiet(t, zerobustest.Acks(zerobustest.AckNever())), zerobus.InFlight(2)), producer.BatchRecords(2))
		enqueue(t, p, 0, 10)
		if err := p.Close(); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		got := left(p)
		for i := range got {
			if _, taken, _ := strings.Cut(got[i], " "); (taken == "true") != (i < 4) {
				t.Errorf("row %d may be stored: %s", i, taken)
			}
			got[i], _, _ = strings.Cut(got[i], " ")
		}
		if !slices.Equal(got, numbered(10)) {
			t.Errorf("%q", got)
		}
	})
}

func TestTokensAreSharedAnd429IsTransient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		sink := sinkOf(srv)
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Times: 3, Do: zerobustest.Status(codes.Unavailable, "busy")})
		for range 3 {
			produce(t, sink)
		}
		if s := srv.Stats(); s.TokenRequests != 1 || s.Streams != 6 {
			t.Errorf("%+v: want one token for 6 attempts of 3 streams", s)
		}
		srv.InjectToken(zerobustest.TokenFault{Status: 429, RetryAfter: "7"})
		began := time.Now()
		produce(t, sinkOf(srv)) // of another client
		took(t, began, 7*time.Second)
	})
}

// If the server does not read a stream, the other streams go on.
func TestEachStreamHasItsOwnConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t, zerobustest.CreateTables(), zerobustest.Window(64<<10))
		srv.Inject(zerobustest.Fault{On: "main.air.slow", Stage: zerobustest.Receiving, Do: zerobustest.Stall()})
		client := clientOf(config(srv), reach(srv)...)
		slow, err := producer.New(t.Context(), client.Table("main.air.slow"), jsonCodec(), producer.DrainTimeout(0), producer.AckTimeout(0))
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		for range 8 {
			if _, err := slow.Enqueue(t.Context(), long(0, 1<<20)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait() // the server's window is full
		began := time.Now()
		p := produce(t, client.Table(table), producer.Linger(0))
		for i := range 20 {
			if err := p.Send(t.Context(), row{i}); err != nil {
				t.Fatal(err)
			}
		}
		took(t, began, 0)
		if n := srv.Stats().Connections; n != 2 {
			t.Errorf("%d connections for 2 streams", n)
		}
	})
}

// Single records share a request. Each has its own receipt, and a refused record does not harm the others.
func TestRecordsShareARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zerobustest.New(t, zerobustest.InMemory(), zerobustest.Table(table, zerobustest.Column{Name: "n", Type: "INT"}))
		p := produce(t, sinkOf(srv))
		receipts := enqueue(t, p, 0, 10_000)
		if err := p.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, r := range receipts {
			if _, err := r.Wait(t.Context()); err != nil {
				t.Errorf("row %d: %v", i, err)
			}
		}
		if n := srv.Stats().Requests; n > 100 {
			t.Errorf("%d requests for 10,000 records", n)
		}
	})
	t.Run("and refusals", aRejectedRowFailsAlone)
}

// aRejectedRowFailsAlone checks that only the refused rows fail, and that the first copies of the others are stored in order.
func aRejectedRowFailsAlone(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(table, zerobustest.Column{Name: "n", Type: "INT"}))
	p := produce(t, clientOf(config(srv)).Table(table), producer.BatchRecords(10))
	var receipts []producer.Receipt
	for i := range 50 {
		r := backend.Record{Value: fmt.Appendf(nil, `{"n":%d}`, i)}
		if i == 17 || i == 33 {
			r.Value = fmt.Appendf(nil, `{"n":%d,"nobody":1}`, i)
		}
		receipt, err := p.EnqueueEncoded(limited(t), r)
		if err != nil {
			t.Fatal(err)
		}
		receipts = append(receipts, receipt)
	}
	for i, r := range receipts {
		_, err := r.Wait(limited(t))
		if bad := i == 17 || i == 33; bad != errors.Is(err, backend.ErrRejected) || !bad && err != nil {
			t.Errorf("row %d: %v", i, err)
		}
	}
	want := slices.DeleteFunc(numbered(50), func(v string) bool { return v == `{"n":17}` || v == `{"n":33}` })
	var firsts []string
	for _, v := range values(srv) {
		if !slices.Contains(firsts, v) {
			firsts = append(firsts, v)
		}
	}
	if !slices.Equal(firsts, want) {
		t.Errorf("%d rows: %s", len(firsts), firstDifference(firsts, want))
	}
}
