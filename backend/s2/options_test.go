package s2_test

import (
	"slices"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// A stream that comes to be by an append is configured as the stream says, however the append is made.
func TestAStreamIsCreatedAsTold(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true))
	b := dial(t, srv).Basin(basinName)
	as := s2.CreateAs(s2.StreamConfig{Retention: &s2.Retention{Age: time.Hour}, Timestamping: &s2.Timestamping{Mode: s2.Arrival}})
	unary, session := b.Stream(streamName(), as), b.Stream(streamName(), as)
	put(t, unary, "a")
	s, err := session.NewAppender(backend.Format{}).Open(t.Context())
	check(t, err)
	check(t, s.Close())
	for _, st := range []*s2.Stream{unary, session} {
		cfg, err := b.StreamConfig(t.Context(), st.Name())
		if err != nil || cfg.Retention.Age != time.Hour || cfg.Timestamping.Mode != s2.Arrival {
			t.Errorf("%+v, %v", cfg, err)
		}
	}
}

// A read without commands says where to go on behind those that it leaves out.
func TestAReadWithoutCommandsGoesOnBehindThem(t *testing.T) {
	_, st := fresh(t, nil)
	put(t, st, "a")
	_, err := st.SetFence(t.Context(), "", s2.Condition{})
	check(t, err)
	got, err := st.Read(t.Context(), s2.Range{From: backend.Earliest, NoCommands: true})
	if err != nil || !slices.Equal(texts(got.Records), []string{"a"}) || got.Next != "2" {
		t.Errorf("%+v, %v", got, err)
	}
	got, err = st.Read(t.Context(), s2.Range{From: "1", NoCommands: true})
	if err != nil || len(got.Records) != 0 || got.Next != "2" {
		t.Errorf("%+v, %v", got, err)
	}
}

// One page says whether there is another, and where that begins.
func TestAPageLeadsToTheNext(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true))
	b := dial(t, srv).Basin(basinName)
	for _, name := range []string{"a", "b", "c"} {
		put(t, b.Stream(name), "x")
	}
	var pages [][]string
	for l, more := (s2.List{Limit: 2}), true; more; {
		p, err := b.StreamsPage(t.Context(), l)
		check(t, err)
		var names []string
		for _, s := range p.Entries {
			names = append(names, s.Name)
		}
		pages = append(pages, names)
		l.StartAfter, more = p.Last, p.HasMore
	}
	if len(pages) != 2 || !slices.Equal(pages[0], []string{"a", "b"}) || !slices.Equal(pages[1], []string{"c"}) {
		t.Errorf("%q", pages)
	}
}

func TestAReadSessionWithoutALastAttempt(t *testing.T) {
	srv, st := fresh(t, []s2.Option{s2.Attempts(s2.Forever)})
	vs := timed(t, st, 10)
	in := srv.Inject(s2test.Fault{Op: s2test.ReadSession, Times: 5, Do: s2test.RetryAfter(503, "unavailable", time.Millisecond)})
	got, err := drain(t.Context(), st.ReadSession(s2.Range{From: backend.Earliest, Wait: s2.NoWait}))
	if err != nil || !slices.Equal(got, vs) || in.Hits() != 5 {
		t.Errorf("%d records, %v, after %d refusals", len(got), err, in.Hits())
	}
}

func TestMeteredCountsAsS2Does(t *testing.T) {
	r := backend.Record{Value: []byte("hello"), Headers: backend.Headers{{Name: "k", Value: []byte("vv")}}}
	if n := s2.Metered(&r); n != 8+2+1+2+5 {
		t.Errorf("%d", n)
	}
}
