package zerobus_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/zerobus"
	"github.com/headrace/headrace/backend/zerobus/zerobustest"
	"github.com/headrace/headrace/producer"
)

// If Sink had a method OpenReader, the selector below would be ambiguous, and this file would not compile.
type (
	reading struct{}
	both    struct {
		*zerobus.Sink
		reading
	}
)

func (reading) OpenReader() {}

var _ interface{ OpenReader() } = both{}

func TestASinkIsNoSource(t *testing.T) {
	var sink any = clientOf(config(serve(t))).Table(table)
	if _, is := sink.(backend.Source); is {
		t.Error("a table can be read")
	}
	if _, is := sink.(backend.Sink); !is {
		t.Error("a table cannot be written")
	}
}

func TestARepeatedAckSaysNothing(t *testing.T) {
	srv := serve(t)
	srv.Inject(zerobustest.Fault{Stage: zerobustest.Stored, Skip: 1, Do: zerobustest.Then(zerobustest.Ack(0), zerobustest.Ack(1))})
	s := open(t, clientOf(config(srv)).Table(table))
	for i := range uint64(2) {
		if err := s.Send(limited(t), i, records(`{}`)); err != nil {
			t.Fatal(err)
		}
		if a, err := s.Recv(limited(t)); err != nil || a.Seq != i {
			t.Errorf("%+v, %v", a, err)
		}
	}
}

// The opening does not wait for ever for a silent server.
func TestAServerThatNeverAnswers(t *testing.T) {
	for name, stage := range map[string]zerobustest.Stage{"no headers": zerobustest.Opening, "no response": zerobustest.Creating} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t)
			srv.Inject(zerobustest.Fault{Stage: stage, Times: -1, Do: zerobustest.Stall()})
			_, err := clientOf(config(srv), zerobus.Timeout(50*time.Millisecond)).Table(table).NewAppender(jsonFormat).Open(limited(t))
			wantIs(t, err, backend.ErrTransient)
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
	}
}

func TestCreateResponsesThatAreNone(t *testing.T) {
	for name, do := range map[string]zerobustest.Effect{
		"without an id": zerobustest.NoStreamID(), "an ack": zerobustest.Ack(0), "nothing in it": zerobustest.Reply(nil), "the end": zerobustest.EOF(),
		"a cut connection": zerobustest.Drop(),
	} {
		t.Run(name, func(t *testing.T) {
			srv := serve(t)
			srv.Inject(zerobustest.Fault{Stage: zerobustest.Creating, Do: do})
			sink := clientOf(config(srv)).Table(table)
			_, err := sink.NewAppender(jsonFormat).Open(limited(t))
			wantIs(t, err, backend.ErrTransient)
			_ = open(t, sink)
		})
	}
}

// After every kind of end, over real sockets, all rows arrive in order.
func TestProducerRecovers(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]zerobustest.Fault{
		"UNAVAILABLE before storing": {Stage: zerobustest.Receiving, Skip: 3, Do: zerobustest.Status(codes.Unavailable, "gone")},
		"INTERNAL after storing":     {Stage: zerobustest.Stored, Skip: 3, Do: zerobustest.Status(codes.Internal, "oops")},
		"the end after storing":      {Stage: zerobustest.Stored, Skip: 3, Do: zerobustest.EOF()},
		"a cut connection":           {Stage: zerobustest.Stored, Skip: 3, Do: zerobustest.Drop()},
		"no more acks":               {Stage: zerobustest.Stored, Skip: 3, Do: zerobustest.Stall()},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := serve(t)
			srv.Inject(fault)
			p := produce(t, clientOf(config(srv)).Table(table), producer.BatchRecords(2), producer.AckTimeout(time.Second))
			for i := range 20 {
				if _, err := p.Enqueue(limited(t), row{i}); err != nil {
					t.Fatal(err)
				}
			}
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			var firsts []string
			for _, v := range values(srv) {
				if !slices.Contains(firsts, v) {
					firsts = append(firsts, v)
				}
			}
			if !slices.Equal(firsts, numbered(20)) {
				t.Errorf("%q", firsts)
			}
			if srv.Stats().Streams < 2 {
				t.Error("the fault did not hit")
			}
		})
	}
}

// Close half-closes an idle stream and does not cut it off, also if the server is slow.
func TestCloseIsPolite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		began := time.Now()
		s := open(t, sinkOf(srv))
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		took(t, began, 0)
		events := srv.Streams()[0].Events
		if last := events[len(events)-2:]; last[0].Kind != zerobustest.HalfClosed || last[1].Status != codes.OK {
			t.Errorf("%+v", events)
		}
		srv.Inject(zerobustest.Fault{Stage: zerobustest.Closing, Do: zerobustest.Stall()})
		if err := open(t, sinkOf(srv)).Close(); err != nil {
			t.Error(err)
		}
		took(t, began, 500*time.Millisecond)
	})
}

// New refuses a wrong configuration: see TestNewRefusesWrongConfigurations.
func TestTablesAndFormatsAreCheckedAtOpen(t *testing.T) {
	srv := serve(t)
	client := clientOf(config(srv))
	_, err := client.Table("a.b").NewAppender(jsonFormat).Open(limited(t))
	if !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), "3 parts") {
		t.Errorf("%v", err)
	}
	_, err = client.Table(table).NewAppender(backend.Format{ContentType: "text/plain"}).Open(limited(t))
	if !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), "text/plain") {
		t.Errorf("%v", err)
	}
	if n := srv.Stats(); n.Streams+n.TokenRequests != 0 {
		t.Errorf("%+v: the server was asked all the same", n)
	}
}

// A closed client opens nothing. A stream that is open goes on.
func TestAClosedClientOpensNothing(t *testing.T) {
	srv := serve(t)
	client := clientOf(config(srv))
	sink := client.Table(table)
	s := open(t, sink)
	for range 2 {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	_, err := sink.NewAppender(jsonFormat).Open(limited(t))
	wantIs(t, err, backend.ErrClosed)
	if acks := sendAll(t, s, 1, 2); len(acks) != 2 {
		t.Errorf("the open stream acknowledged %v", acks)
	}
	if n := srv.Stats().Streams; n != 1 {
		t.Errorf("%d streams", n)
	}
}

func TestUserAgentsThatNoHeaderTakes(t *testing.T) {
	srv := serve(t)
	for _, name := range []string{"line\nend", "zoë", "\x7f", "\x00", "tab\t", "\xff"} {
		if _, err := zerobus.New(config(srv), zerobus.UserAgent(name)); err == nil {
			t.Errorf("%q was taken", name)
		}
	}
	_ = open(t, clientOf(config(srv), zerobus.UserAgent("my-app/1.0 (tests; ~)")).Table(table)).Close()
}

func TestMetadata(t *testing.T) {
	srv := serve(t)
	open(t, clientOf(config(srv), zerobus.UserAgent("tests/1")).Table(table))
	h := srv.Streams()[0].Header
	if got := h.Get("user-agent"); len(got) != 1 || !strings.HasPrefix(got[0], "headrace-zerobus tests/1") {
		t.Errorf("user-agent %q", got)
	}
	if got := h.Get("content-type"); len(got) != 1 || got[0] != "application/grpc" {
		t.Errorf("content-type %q", got)
	}
	if got := h.Get("x-databricks-zerobus-table-name"); len(got) != 1 || got[0] != table {
		t.Errorf("table %q", got)
	}
}

// Send may notice the end of a stream before Recv has read why.
func TestSendDoesNotHideWhyTheServerEndedTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := quiet(t)
		s := open(t, sinkOf(srv))
		srv.End(table, zerobustest.Status(codes.NotFound, "table dropped"))
		synctest.Wait()
		for range 2 {
			wantIs(t, s.Send(t.Context(), 0, records(`{}`)), backend.ErrTransient)
		}
		_, err := reason(t, s)
		if wantIs(t, err, backend.ErrNotFound); !strings.Contains(err.Error(), "table dropped") {
			t.Error(err)
		}
		wantIs(t, s.Send(t.Context(), 0, records(`{}`)), backend.ErrNotFound)
	})
}
