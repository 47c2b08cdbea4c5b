package s2_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

// drain reads a session to its end and returns the values.
func drain(ctx context.Context, r *s2.ReadSession) (vs []string, err error) {
	for rec, err := range r.Records(ctx) {
		if err != nil {
			return vs, err
		}
		vs = append(vs, string(rec.Value))
	}
	return vs, nil
}

// timed appends n records of 18 metered bytes, record i of time base+i, and returns their values.
func timed(t *testing.T, st *s2.Stream, n int) (vs []string) {
	t.Helper()
	recs := make([]backend.Record, 0, 500)
	for i := range n {
		vs = append(vs, fmt.Sprintf("%010d", i))
		recs = append(recs, backend.Record{Value: []byte(vs[i]), Time: base.Add(time.Duration(i) * time.Millisecond)})
		if len(recs) == cap(recs) || i == n-1 {
			if _, err := st.Append(t.Context(), recs, s2.Condition{}); err != nil {
				t.Fatal(err)
			}
			recs = recs[:0]
		}
	}
	return vs
}

var base = time.UnixMilli(1_700_000_000_000)

// ranges are ranges of a stream of 3500 records, with the records a session must give.
var ranges = map[string]struct {
	r        s2.Range
	from, to int
}{
	"count":                  {s2.Range{From: s2.At(3), Count: 2500}, 3, 2503},
	"count 1":                {s2.Range{From: s2.At(3), Count: 1}, 3, 4},
	"count beyond the tail":  {s2.Range{From: s2.At(10), Count: 9999}, 10, 3500},
	"bytes":                  {s2.Range{From: s2.At(0), Bytes: 18*1700 + 17}, 0, 1700},
	"bytes to the last":      {s2.Range{From: s2.At(0), Bytes: 18 * 1700}, 0, 1700},
	"bytes for none":         {s2.Range{From: s2.At(0), Bytes: 17}, 0, 0},
	"until":                  {s2.Range{From: s2.At(7), Until: base.Add(1234 * time.Millisecond)}, 7, 1234},
	"until, within one":      {s2.Range{From: s2.At(7), Until: base.Add(1234*time.Millisecond + 1)}, 7, 1235},
	"count before until":     {s2.Range{From: backend.Earliest, Count: 1100, Until: base.Add(2 * time.Second)}, 0, 1100},
	"bytes before count":     {s2.Range{From: backend.Earliest, Count: 1100, Bytes: 18 * 1050}, 0, 1050},
	"the last ones":          {s2.Range{From: backend.Last(2000), Wait: s2.NoWait}, 1500, 3500},
	"since":                  {s2.Range{From: backend.AtTime(base.Add(time.Second)), Count: 2000}, 1000, 3000},
	"to the tail":            {s2.Range{From: backend.Earliest, Wait: s2.NoWait}, 0, 3500},
	"to the tail and a wait": {s2.Range{From: s2.At(1000), Wait: time.Second}, 1000, 3500},
	"a count and a wait":     {s2.Range{From: s2.At(1000), Count: 2000, Wait: time.Minute}, 1000, 3000},
	"from beyond, clamped":   {s2.Range{From: s2.At(9999), Clamp: true, Wait: s2.NoWait}, 3500, 3500},
	"at the tail":            {s2.Range{From: backend.Latest, Wait: s2.NoWait}, 3500, 3500},
}

// Under every fault, a session gives each record of the range once, and ends.
func TestAReadSessionGivesItsRangeWhateverBreaks(t *testing.T) {
	t.Parallel()
	both := s2test.ReadSession | s2test.EventRead
	at := func(skip int, do s2test.Effect) s2test.Fault {
		return s2test.Fault{Op: both, Stage: s2test.Replying, Skip: skip, Times: 2, Do: do}
	}
	faults := map[string]s2test.Fault{
		"nothing":             {Op: s2test.AccountCall},
		"dropped":             at(1, s2test.Drop()),
		"dropped at once":     at(0, s2test.Drop()),
		"reset":               at(1, s2test.Reset()),
		"ended":               at(1, s2test.End()),
		"ended at once":       at(0, s2test.End()),
		"unavailable":         at(1, s2test.Status(503, "unavailable")),
		"advised to go":       at(1, s2test.AdviseReconnect()),
		"going away":          at(0, s2test.GoAway()),
		"cut in a frame":      {Op: both, Stage: s2test.Arrived, Times: 2, Do: s2test.CutAfter(20_000)},
		"opening refused":     {Op: both, Times: 2, Do: s2test.Status(429, "rate_limited")},
		"the look at the end": {Op: s2test.UnaryRead, Times: 2, Do: s2test.Status(500, "storage")},
		"stalled":             {Op: both, Stage: s2test.Replying, Skip: 1, Do: s2test.Stall()},
	}
	var all crowd
	defer all.Wait()
	for name, f := range faults {
		for form, opts := range map[string][]s2.StreamOption{"frames": nil, "events": {s2.SSE()}} {
			all.run(t, name+"/"+form, func(t *testing.T) {
				srv := s2test.New(t, s2test.Basin(basinName, true))
				if name == "stalled" {
					opts = append(opts, s2.Silence(300*time.Millisecond))
				}
				// Beside the fault, a busy machine may be silent for as long, or notice late that a connection was dropped.
				st := dial(t, srv, s2.Backoff(time.Millisecond, 20*time.Millisecond), s2.Attempts(1000)).Basin(basinName).Stream(streamName(), opts...)
				vs := timed(t, st, 3500)
				struck := 0
				for what, c := range ranges {
					in := srv.Inject(f)
					r := st.ReadSession(c.r)
					got, err := drain(t.Context(), r)
					struck += in.Hits()
					in.Remove()
					if want := vs[c.from:c.to]; err != nil || !slices.Equal(got, want) {
						t.Errorf("%s: %d records, %v, want exactly those from %d to %d", what, len(got), err, c.from, c.to)
					}
					if next := r.Next(); len(got) > 0 && next != s2.At(uint64(c.to)) {
						t.Errorf("%s: it would go on at %q, want %d", what, next, c.to)
					}
					if more, err := drain(t.Context(), r); len(more) > 0 || err != nil {
						t.Errorf("%s: behind the end: %d records, %v", what, len(more), err)
					}
				}
				if struck == 0 && name != "nothing" {
					t.Error("nothing was broken")
				}
			})
		}
	}
}

// A session asks a new connection for the rest of the range, with the same end. A server may give more than asked, and the
// session keeps to the range.
func TestAReadSessionAsksForWhatIsLeft(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	record := func(seq byte) string { return string([]byte{0x0a, 9, 0x08, seq, 0x10, 1, 0x22, 3, 'a', 'b', 'c'}) } // 11 metered
	st := fake(t, func(w http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, q.URL.RawQuery)
		n := byte(3 * len(asked))
		_, _ = w.Write(frame(0, []byte(record(n-2)+record(n-1)+record(n))))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})
	r := st.ReadSession(s2.Range{From: s2.At(1), Count: 8, Bytes: 1000, Until: base})
	got, err := drain(t.Context(), r)
	if len(got) != 8 || err != nil {
		t.Errorf("%d records, %v, want 8", len(got), err)
	}
	want := "[bytes=1000&count=8&seq_num=1&until=1700000000000 bytes=967&count=5&seq_num=4&until=1700000000000 bytes=934&count=2&seq_num=7&until=1700000000000]"
	if fmt.Sprint(asked) != want {
		t.Errorf("asked %s\nwant  %s", asked, want)
	}
}

// Neither reconnections nor heartbeats restart the wait of a session.
func TestTheWaitOfAReadSessionEndsWhateverBreaks(t *testing.T) {
	t.Parallel()
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Heartbeat(50*time.Millisecond, 60*time.Millisecond))
	st := dial(t, srv).Basin(basinName).Stream(streamName())
	put(t, st, "0")
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	// The breaks come at the speed of the machine. If each break restarted the wait, the wait would never end.
	breaks := 0
	for wait := time.Second; breaks < 2; wait *= 2 {
		r := dial(t, srv, s2.Attempts(1000)).Basin(basinName).Stream(st.Name()).ReadSession(s2.Range{From: s2.At(0), Wait: wait})
		var in *s2test.Injection
		for _, err := range r.Records(ctx) {
			if err != nil || in != nil {
				t.Fatalf("%v, %d breaks; want one record", err, breaks)
			}
			// Two heartbeats pass. The breaks begin behind the record: on a busy machine, an earlier break could come before the
			// session has read the record, and then nothing would ever pass.
			in = srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Skip: 2, Times: s2test.Always, Do: s2test.Drop()})
		}
		if in == nil {
			t.Fatal("no record")
		}
		breaks = in.Hits()
		in.Remove()
	}
}

// A relative start becomes a place with the first answer of the server.
func TestAReadSessionFromLatestMissesNothingOverABreak(t *testing.T) {
	t.Parallel()
	srv, st := fresh(t, nil)
	put(t, st, "before")
	for range 10 {
		r := st.ReadSession(s2.Range{From: backend.Latest, Count: 2, Wait: time.Minute})
		done := make(chan struct{})
		go func() {
			defer close(done)
			if got, err := drain(t.Context(), r); fmt.Sprint(got) != "[a b]" || err != nil {
				t.Errorf("%q, %v, want a and b", got, err)
			}
		}()
		<-r.CaughtUp()
		tail, known := r.Tail()
		if at := s2.At(tail.SeqNum); !known || r.Next() != at {
			t.Errorf("caught up at %q with the tail at %q", r.Next(), at)
		}
		srv.DropConnections()
		put(t, st, "a") // before the session is back, or after
		put(t, st, "b")
		<-done
	}
}

func TestALaterLoopOfAReadSessionGoesOn(t *testing.T) {
	_, st := fresh(t, nil)
	vs := timed(t, st, 2000)
	r := st.ReadSession(s2.Range{From: s2.At(0), Count: 1500, Bytes: 18 * 1400})
	var got []string
	for len(got) < 1400 {
		n := 0
		for rec, err := range r.Records(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(rec.Value))
			if r.Next() != s2.At(uint64(len(got))) {
				t.Fatalf("it goes on at %q behind record %d", r.Next(), len(got)-1)
			}
			if n++; n == 333 {
				break
			}
		}
	}
	if more, err := drain(t.Context(), r); len(more) > 0 || err != nil || !slices.Equal(got, vs[:1400]) {
		t.Errorf("%d records and %d more, %v, want 1400", len(got), len(more), err)
	}
}

// Commands have numbers, and the server counts them against the limits.
func TestCommandsCountAgainstTheLimitsOfAReadSession(t *testing.T) {
	srv, st := fresh(t, nil)
	put(t, st, "0")
	if _, err := st.SetFence(t.Context(), "", s2.Condition{}); err != nil {
		t.Fatal(err)
	}
	put(t, st, "2", "3")
	for n, opts := range [][]s2.StreamOption{{}, {s2.Commands()}} {
		srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Skip: 1, Do: s2test.Drop()})
		r := dial(t, srv).Basin(basinName).Stream(st.Name(), opts...).ReadSession(s2.Range{From: s2.At(0), Count: 3})
		if got, err := drain(t.Context(), r); len(got) != 2+n || err != nil || r.Next() != s2.At(3) {
			t.Errorf("%q up to %q, %v, want %d records up to 3", got, r.Next(), err, 2+n)
		}
	}
}

func TestWhatEndsAReadSession(t *testing.T) {
	srv, st := fresh(t, []s2.Option{s2.Attempts(2)})
	vs := timed(t, st, 2500)
	broken := func(f s2test.Fault) *s2test.Injection {
		f.Op = s2test.ReadSession
		return srv.Inject(f)
	}

	in := broken(s2test.Fault{Stage: s2test.Replying, Skip: 2, Do: s2test.Status(401, "authn")})
	got, err := drain(t.Context(), st.ReadSession(s2.Range{From: s2.At(0), Count: 2500}))
	in.Remove()
	if !errors.Is(err, backend.ErrUnauthorized) || !slices.Equal(got, vs[:2000]) {
		t.Errorf("refused in the middle: %d records and %v, want 2000 and ErrUnauthorized", len(got), err)
	}

	in = broken(s2test.Fault{Stage: s2test.Replying, Times: s2test.Always, Do: s2test.Status(503, "unavailable")})
	r := st.ReadSession(s2.Range{From: s2.At(0), Count: 2500})
	_, err = drain(t.Context(), r)
	in.Remove()
	var refused *s2.Error
	if !errors.As(err, &refused) || refused.Status != 503 || in.Hits() != 2 {
		t.Errorf("after %d attempts: %v, want status 503 after 2", in.Hits(), err)
	}
	if got, err = drain(t.Context(), r); err != nil || !slices.Equal(got, vs) {
		t.Errorf("once the server is back: %d records, %v", len(got), err)
	}

	for what, c := range map[string]struct {
		r    s2.Range
		want error
	}{
		"at the tail":          {s2.Range{From: s2.At(2500), Count: 1}, backend.ErrOutOfRange},
		"beyond the tail":      {s2.Range{From: s2.At(2501), Wait: s2.NoWait}, backend.ErrOutOfRange},
		"no place":             {s2.Range{}, backend.ErrOutOfRange},
		"until before a start": {s2.Range{From: backend.AtTime(base.Add(time.Second)), Until: base}, backend.ErrRejected},
	} {
		if got, err := drain(t.Context(), st.ReadSession(c.r)); len(got) > 0 || !errors.Is(err, c.want) || !strings.HasPrefix(err.Error(), "s2: ") {
			t.Errorf("%s: %d records, %v, want %v", what, len(got), err, c.want)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	follower := st.ReadSession(s2.Range{From: s2.At(2499)})
	go func() {
		<-follower.CaughtUp()
		cancel()
	}()
	if got, err := drain(ctx, follower); len(got) != 1 || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %q, %v", got, err)
	}

	if err := trim(st, s2.At(100)); err != nil {
		t.Fatal(err)
	}
	if _, err := drain(t.Context(), st.ReadSession(s2.Range{From: s2.At(50), Count: 1})); !errors.Is(err, backend.ErrOutOfRange) {
		t.Errorf("trimmed: %v, want ErrOutOfRange", err)
	}
	if got, err := drain(t.Context(), st.ReadSession(s2.Range{From: backend.Earliest, Count: 1})); fmt.Sprint(got) != fmt.Sprint(vs[100:101]) || err != nil {
		t.Errorf("from the earliest: %q, %v", got, err)
	}
}
