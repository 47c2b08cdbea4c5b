package zerobus_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// openStream opens a stream of JSON records.
func openStream(t *testing.T, sink *zerobus.Sink) *zerobus.Stream {
	t.Helper()
	s, err := sink.OpenStream(limited(t), jsonFormat)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func appended(t *testing.T, s *zerobus.Stream, values ...string) *zerobus.Ticket {
	t.Helper()
	ticket, err := s.Append(limited(t), records(values...))
	if err != nil {
		t.Fatal(err)
	}
	return ticket
}

func TestABatchOfAStreamIsOneRequestAndHasOneTicket(t *testing.T) {
	srv := serve(t, zerobustest.Acks(zerobustest.AckEvery(7, time.Millisecond)))
	s := openStream(t, clientOf(config(srv)).Table(table))
	var tickets []*zerobus.Ticket
	var want []string
	for i := range 50 {
		tickets = append(tickets, appended(t, s, `{"n":1}`, `{"n":2}`, `{"n":3}`))
		want = append(want, fmt.Sprintf("0/%d:3", i))
	}
	for i, ticket := range tickets {
		for range 2 { // a ticket may be asked again
			if err := ticket.Wait(limited(t)); err != nil {
				t.Errorf("batch %d: %v", i, err)
			}
		}
	}
	if got := requests(srv); !slices.Equal(got, want) {
		t.Errorf("requests %q, want %q", got, want)
	}
	if s.ID() == "" || s.ID() != srv.Streams()[0].ID {
		t.Errorf("id %q, want %q", s.ID(), srv.Streams()[0].ID)
	}
}

func TestBatchesOfManyGoroutinesStayWhole(t *testing.T) {
	srv := serve(t)
	s := openStream(t, clientOf(config(srv)).Table(table, zerobus.InFlight(3)))
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for range 25 {
				v := fmt.Sprintf(`{"n":%d}`, g)
				ticket, err := s.Append(limited(t), records(v, v))
				if err == nil {
					err = ticket.Wait(limited(t))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	got := values(srv)
	if len(got) != 400 {
		t.Fatalf("%d rows, want 400", len(got))
	}
	for i := 0; i < len(got); i += 2 {
		if got[i] != got[i+1] {
			t.Fatalf("rows %d and %d are of two batches: %s %s", i, i+1, got[i], got[i+1])
		}
	}
}

func TestARefusedRowKeepsItsBatchOutAndNamesTheStream(t *testing.T) {
	srv := zerobustest.New(t, zerobustest.Table(table, zerobustest.Column{Name: "n", Type: "INT"}))
	s := openStream(t, clientOf(config(srv)).Table(table))
	if err := appended(t, s, `{"n":1}`).Wait(limited(t)); err != nil {
		t.Fatal(err)
	}
	err := appended(t, s, `{"n":2}`, `{"n":"three"}`).Wait(limited(t))
	wantIs(t, err, backend.ErrRejected)
	var at *zerobus.StreamError
	if !errors.As(err, &at) || at.ID != srv.Streams()[0].ID || at.Table != table {
		t.Errorf("%v does not name the stream", err)
	}
	if _, err := s.Append(limited(t), records(`{"n":4}`)); !errors.Is(err, backend.ErrRejected) {
		t.Errorf("behind the end: %v", err)
	}
	if got := values(srv); !slices.Equal(got, []string{`{"n":1}`}) {
		t.Errorf("rows %q", got)
	}
}

func TestTicketsOfAStreamThatBreaksAreInDoubt(t *testing.T) {
	for name, end := range map[string]func(*zerobustest.Server, *zerobus.Stream){
		"a failure": func(srv *zerobustest.Server, _ *zerobus.Stream) {
			srv.End(table, zerobustest.Status(codes.Unavailable, "gone"))
		},
		"Close": func(_ *zerobustest.Server, s *zerobus.Stream) { _ = s.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t, zerobustest.Acks(zerobustest.AckNever()))
			s := openStream(t, clientOf(config(srv)).Table(table))
			tickets := []*zerobus.Ticket{appended(t, s, `{"n":1}`), appended(t, s, `{"n":2}`)}
			end(srv, s)
			for _, ticket := range tickets {
				if err := ticket.Wait(limited(t)); !errors.Is(err, backend.ErrIndeterminate) {
					t.Errorf("%v, want ErrIndeterminate", err)
				}
			}
			if _, err := s.Append(limited(t), records(`{"n":3}`)); err == nil {
				t.Error("a stream that has ended takes a batch")
			}
		})
	}
}

// After the announcement of the end, Append refuses a batch and stores nothing. The batch can go onto the next stream.
func TestAStreamThatRotatesTakesNoMoreBatches(t *testing.T) {
	srv := serve(t)
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Stored, Do: zerobustest.CloseSignal(time.Minute)})
	sink := clientOf(config(srv)).Table(table)
	s := openStream(t, sink)
	if err := appended(t, s, `{"n":1}`).Wait(limited(t)); err != nil {
		t.Fatal(err)
	}
	_, err := s.Append(limited(t), records(`{"n":2}`))
	wantIs(t, err, backend.ErrTransient)
	if err := appended(t, openStream(t, sink), `{"n":2}`).Wait(limited(t)); err != nil {
		t.Fatal(err)
	}
	if got := values(srv); !slices.Equal(got, []string{`{"n":1}`, `{"n":2}`}) {
		t.Errorf("rows %q", got)
	}
}

func TestABatchThatCannotBeSentEndsNoStream(t *testing.T) {
	srv := serve(t)
	s := openStream(t, clientOf(config(srv)).Table(table))
	for name, recs := range map[string][]backend.Record{
		"empty":         nil,
		"no object":     records(`{}`, `[]`),
		"not UTF-8":     records("{\"a\":\"\xff\"}"),
		"with a header": {{Value: []byte(`{}`), Headers: []backend.Header{{}}}},
	} {
		if _, err := s.Append(limited(t), recs); !errors.Is(err, backend.ErrRejected) {
			t.Errorf("%s: %v, want ErrRejected", name, err)
		}
	}
	if err := appended(t, s, `{"n":1}`).Wait(limited(t)); err != nil {
		t.Error(err)
	}
}

func TestAProducerTellsTheStreamThatItLost(t *testing.T) {
	srv := serve(t)
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Receiving, Do: zerobustest.Status(codes.Unavailable, "try again")})
	lost := make(chan error, 1)
	p := produce(t, clientOf(config(srv)).Table(table), producer.Observe(producer.Hooks{SessionLost: func(ev producer.SessionEvent) {
		select {
		case lost <- ev.Err:
		default:
		}
	}}))
	if err := p.Send(limited(t), row{1}); err != nil {
		t.Fatal(err)
	}
	var at *zerobus.StreamError
	if err := <-lost; !errors.As(err, &at) || at.ID != srv.Streams()[0].ID {
		t.Errorf("%v does not name stream %s", err, srv.Streams()[0].ID)
	}
}
