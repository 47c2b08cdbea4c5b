package s2_test

import (
	"slices"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// advised is a server with advice to reconnect in every frame, like a server about to stop.
func advised(t *testing.T, op s2test.Op, opts ...s2.Option) (*s2test.Injection, *s2.Stream) {
	t.Helper()
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Heartbeat(time.Millisecond, time.Millisecond))
	in := srv.Inject(s2test.Fault{Op: op, Stage: s2test.Replying, Times: s2test.Always, Do: s2test.AdviseReconnect()})
	return in, dial(t, srv, opts...).Basin(basinName).Stream(streamName())
}

func TestAReaderFollowsAdviceOnceAndThenReadsOn(t *testing.T) {
	in, st := advised(t, s2test.ReadSession)
	put(t, st, "a")
	first := open(t, st, backend.Earliest)
	if b := next(t, first); !slices.Equal(texts(b.Records), []string{"a"}) {
		t.Errorf("with the advice came %q", texts(b.Records))
	}
	_, err := first.Read(t.Context())
	if want(t, err, backend.ErrTransient); !backend.Routine(err) {
		t.Errorf("%v is no routine end", err)
	}
	second := open(t, st, "1")
	for hits := in.Hits(); in.Hits() < hits+50; {
		_, err := second.Read(t.Context())
		check(t, err)
	}
	put(t, st, "b")
	if b := next(t, second); !slices.Equal(texts(b.Records), []string{"b"}) {
		t.Errorf("after fifty frames with advice came %q", texts(b.Records))
	}
}

func TestAReadSessionOutlivesAdviceInEveryFrame(t *testing.T) {
	_, st := advised(t, s2test.ReadSession, s2.Attempts(1))
	vs := timed(t, st, 3500)
	got, err := drain(t.Context(), st.ReadSession(s2.Range{From: backend.Earliest, Wait: 20 * time.Millisecond}))
	if err != nil || !slices.Equal(got, vs) {
		t.Errorf("%d records, %v, want all %d", len(got), err, len(vs))
	}
}

func TestAnAppenderFollowsAdviceOnceAndThenAppendsOn(t *testing.T) {
	_, st := advised(t, s2test.AppendSession)
	a := st.NewAppender(backend.Format{})
	first, err := a.Open(t.Context())
	check(t, err)
	check(t, first.Send(t.Context(), 0, values("a")))
	_, err = first.Recv(t.Context())
	check(t, err)
	_, err = first.Recv(t.Context())
	if want(t, err, backend.ErrTransient); !backend.Routine(err) {
		t.Errorf("%v is no routine end", err)
	}
	check(t, first.Close())
	second, err := a.Open(t.Context())
	check(t, err)
	defer second.Close()
	for seq := range uint64(50) {
		check(t, second.Send(t.Context(), seq+1, values("b")))
		_, err = second.Recv(t.Context())
		check(t, err)
	}
}

// A server about to stop refuses all openings.
func TestAReadSessionOutlivesADrainingServer(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, []s2.Option{s2.Attempts(1)})
	vs := timed(t, st, 1500)
	for _, f := range []s2test.Fault{
		{Stage: s2test.Arrived, Times: 3, Do: s2test.Status(503, "server_draining")},
		{Stage: s2test.Replying, Skip: 1, Do: s2test.Status(503, "server_draining")},
	} {
		f.Op = s2test.ReadSession
		in := srv.Inject(f)
		got, err := drain(t.Context(), st.ReadSession(s2.Range{From: s2.At(0), Count: 1500}))
		if err != nil || !slices.Equal(got, vs) || in.Hits() != f.Times && in.Hits() != 1 {
			t.Errorf("%d records, %v, after %d refusals", len(got), err, in.Hits())
		}
	}
}

func texts(recs []backend.Record) (vs []string) {
	for i := range recs {
		vs = append(vs, string(recs[i].Value))
	}
	return vs
}

// Advice and a draining server do not count as attempts: producers and consumers with a single attempt survive both.
func TestOneAttemptOutlivesAdviceAndADrainingServer(t *testing.T) {
	t.Parallel()
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Heartbeat(time.Millisecond, time.Millisecond))
	srv.Inject(s2test.Fault{Stage: s2test.Replying, Op: s2test.ReadSession | s2test.AppendSession, Times: s2test.Always, Do: s2test.AdviseReconnect()})
	draining := func(op s2test.Op) {
		srv.Inject(s2test.Fault{Op: op, Times: 2, Do: s2test.Status(503, "server_draining")})
	}
	draining(s2test.AppendSession)
	st := dial(t, srv).Basin(basinName).Stream(streamName())
	p, err := producer.New(t.Context(), st, codec.String(), producer.Attempts(1))
	check(t, err)
	check(t, p.Send(t.Context(), "0"))
	draining(s2test.AppendSession)
	check(t, p.Send(t.Context(), "1"))
	check(t, p.Close())
	draining(s2test.ReadSession)
	c, err := consumer.New(st, codec.String(), consumer.Attempts(1), consumer.StopAtTail())
	check(t, err)
	n := 0
	for m, err := range c.Messages(t.Context()) {
		check(t, err)
		if n++; m.Value != string(rune('0'+n-1)) {
			t.Errorf("record %d is %q", n, m.Value)
		}
	}
	if n != 2 {
		t.Errorf("%d records, want 2", n)
	}
}
