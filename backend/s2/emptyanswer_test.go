package s2_test

import (
	"context"
	"testing"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/admin"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// empty makes the server answer the next request of a class as some proxies do that have lost their server: with status 200 and
// nothing else.
func empty(srv *s2test.Server, op s2test.Op) *s2test.Injection {
	return srv.Inject(s2test.Fault{Op: op, Do: s2test.End()})
}

// A success that lacks its answer is not one of S2, and a later attempt may succeed.
func TestEmptyAnswerIsAFailureThatMayPass(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op   s2test.Op
		call func(context.Context, *s2.Stream) error
		want error
	}{
		"tail": {s2test.CheckTail, func(ctx context.Context, st *s2.Stream) error {
			_, err := st.CheckTail(ctx)
			return err
		}, backend.ErrTransient},
		"distance to the tail": {s2test.CheckTail, func(ctx context.Context, st *s2.Stream) error {
			_, err := st.Tail(ctx, backend.Earliest)
			return err
		}, backend.ErrTransient},
		"read": {s2test.UnaryRead, func(ctx context.Context, st *s2.Stream) error {
			_, err := st.Read(ctx, s2.Range{From: backend.Earliest})
			return err
		}, backend.ErrTransient},
		"append": {s2test.UnaryAppend, func(ctx context.Context, st *s2.Stream) error {
			_, err := st.Append(ctx, values("b"), s2.Condition{})
			return err
		}, backend.ErrIndeterminate},
		"incarnation": {s2test.StreamCall, func(ctx context.Context, st *s2.Stream) error {
			r, err := st.OpenReader(ctx, backend.Earliest)
			if err == nil {
				err = r.Close()
			}
			return err
		}, backend.ErrTransient},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			srv := s2test.New(t, s2test.Basin(basinName, true))
			st := dial(t, srv).Basin(basinName).Stream(streamName())
			put(t, st, "a")
			empty(srv, c.op)
			want(t, c.call(t.Context(), st), c.want)
			check(t, c.call(t.Context(), st))
		})
	}
}

func TestReaderOfEventsOutlivesAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, nil, s2.SSE())
	put(t, st, "a")
	empty(srv, s2test.EventRead)
	_, err := st.OpenReader(t.Context(), backend.Earliest)
	want(t, err, backend.ErrTransient)
	if b := next(t, open(t, st, backend.Earliest)); string(b.Records[0].Value) != "a" {
		t.Errorf("read %q", b.Records[0].Value)
	}
}

func TestManagementCallsOutliveAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, nil)
	put(t, st, "a")
	c := dial(t, srv)
	for name, call := range map[string]func(context.Context) error{
		"config": func(ctx context.Context) error { _, err := manage(c).StreamConfig(ctx, st.Name()); return err },
		"list":   func(ctx context.Context) error { _, err := manage(c).StreamsPage(ctx, admin.List{}); return err },
		"create": func(ctx context.Context) error {
			_, err := manage(c).CreateStream(ctx, "new", s2.StreamConfig{})
			return err
		},
		"delete": func(ctx context.Context) error { return manage(c).DeleteStream(ctx, "another") }, // its answer has no body
	} {
		in := empty(srv, s2test.StreamCall)
		if err := call(t.Context()); err != nil || in.Hits() != 1 {
			t.Errorf("%s: %v after %d empty answers", name, err, in.Hits())
		}
	}
}

// An exclusive producer asks for the tail at each opening.
func TestExclusiveProducerOutlivesEmptyAnswers(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, nil, s2.Exclusive())
	empty(srv, s2test.CheckTail)
	p, err := producer.New(t.Context(), st, codec.String())
	check(t, err)
	check(t, p.Send(t.Context(), "a"))
	empty(srv, s2test.CheckTail)
	empty(srv, s2test.UnaryRead)
	srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Drop()})
	check(t, p.Send(t.Context(), "b"))
	check(t, p.Close())
	if got := texts(stored(t, st)); len(got) != 2 || got[0] != "a" || got[1] != "b" {
		t.Errorf("stored %q", got)
	}
}

// A session that ends early asks whether there is more to read. An empty answer does not say so.
func TestReadSessionReadsOnBehindAnEmptyAnswer(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, nil)
	put(t, st, "a", "b", "c")
	srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Do: s2test.End()})
	in := empty(srv, s2test.UnaryRead)
	got, err := drain(t.Context(), st.ReadSession(s2.Range{From: backend.Earliest, Wait: s2.NoWait}))
	if err != nil || len(got) != 3 || in.Hits() != 1 {
		t.Errorf("read %q, %v, after %d empty answers", got, err, in.Hits())
	}
}

// A batch without records and without a tail has no bytes, and still is an answer of S2.
func TestEmptyBatchIsAnAnswer(t *testing.T) {
	t.Parallel()
	_, st := fresh(t, nil)
	put(t, st, "a")
	got, err := st.Read(t.Context(), s2.Range{From: backend.Earliest, Bytes: 1})
	if err != nil || len(got.Records) != 0 || got.HasTail {
		t.Errorf("%+v, %v", got, err)
	}
}
