package s2_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
)

func open(t testing.TB, st *s2.Stream, from backend.Offset) backend.Reader {
	t.Helper()
	r, err := st.OpenReader(t.Context(), from)
	check(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// next reads until there are records.
func next(t testing.TB, r backend.Reader) backend.Batch {
	t.Helper()
	for {
		b, err := r.Read(t.Context())
		check(t, err)
		if len(b.Records) > 0 {
			return b
		}
	}
}

// Readers skip command records, or show them with Commands. In both cases the positions stay right.
func TestCommandRecords(t *testing.T) {
	srv, st := fresh(t, nil)
	ctx := t.Context()
	put(t, st, "a")
	_, err := st.SetFence(ctx, "mine", s2.Condition{})
	check(t, err)
	mine := "mine"
	_, err = st.Append(ctx, values("b"), s2.Condition{FencingToken: &mine})
	check(t, err)
	_, err = st.Append(ctx, []backend.Record{s2.TrimRecord(0)}, s2.Condition{})
	check(t, err)

	b := next(t, open(t, st, backend.Earliest))
	if len(b.Records) != 2 || b.Records[0].Next != "1" || b.Records[1].Offset != "2" || b.Next != "4" {
		t.Errorf("without commands: %+v", b)
	}
	seen := next(t, open(t, dial(t, srv).Basin(basinName).Stream(st.Name(), s2.Commands(), s2.BareOffsets()), backend.Earliest))
	var what []string
	for i := range seen.Records {
		what = append(what, s2.Command(&seen.Records[i]))
	}
	if !slices.Equal(what, []string{"", "fence", "", "trim"}) || string(seen.Records[1].Value) != "mine" || seen.Next != "4" {
		t.Errorf("with commands: %q of %+v", what, seen)
	}
	if b := readBatch(t, open(t, st, "3")); len(b.Records) != 0 || b.Next != "4" {
		t.Errorf("a stretch of nothing but commands: %+v, want an empty batch that goes on behind it", b)
	}
	// A producer cannot append a record in the form of a command.
	s, err := st.NewAppender(backend.Format{}).Open(ctx)
	check(t, err)
	defer s.Close()
	err = s.Send(ctx, 0, []backend.Record{s2.FenceRecord("x")})
	want(t, err, backend.ErrRejected)
}

func readBatch(t testing.TB, r backend.Reader) backend.Batch {
	t.Helper()
	b, err := r.Read(t.Context())
	check(t, err)
	return b
}

// A reader gives up a silent server.
func TestASilentReadSession(t *testing.T) {
	for name, opts := range map[string][]s2.StreamOption{"frames": nil, "events": {s2.SSE()}} {
		srv, st := fresh(t, nil)
		put(t, st, "a")
		// A busy machine may be silent for this time before the first batch.
		var r backend.Reader
		silence := 15 * time.Millisecond
		for heard := false; !heard; {
			silence *= 2
			r = open(t, dial(t, srv).Basin(basinName).Stream(st.Name(), append(opts, s2.Silence(silence))...), backend.Earliest)
			b, err := r.Read(t.Context())
			for err == nil && len(b.Records) == 0 {
				b, err = r.Read(t.Context())
			}
			if heard = err == nil; heard && len(b.Records) != 1 || !heard && !errors.Is(err, backend.ErrTransient) {
				t.Fatalf("%s: %+v, %v", name, b, err)
			}
		}
		for {
			b, err := r.Read(t.Context())
			if err == nil && len(b.Records) == 0 {
				continue // that it has caught up
			}
			if !errors.Is(err, backend.ErrTransient) || !strings.Contains(err.Error(), fmt.Sprint("no byte came for ", silence)) || !strings.Contains(err.Error(), st.Name()) {
				t.Errorf("%s: %+v, %v", name, b, err)
			}
			break
		}
	}
}

// After advice to reconnect, new sessions use a new connection, and no record is lost.
func TestAdviceToReconnect(t *testing.T) {
	srv, st := fresh(t, nil)
	put(t, st, "a")
	in := srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Do: s2test.AdviseReconnect()})
	r := open(t, st, backend.Earliest)
	b := next(t, r) // the advice came with this batch
	if string(b.Records[0].Value) != "a" || in.Hits() != 1 {
		t.Errorf("%+v, %d hits", b, in.Hits())
	}
	if _, err := r.Read(t.Context()); !errors.Is(err, backend.ErrTransient) || errors.Is(err, backend.ErrIndeterminate) {
		t.Errorf("%v, want to be told to open again", err)
	}
	_ = r.Close()
	put(t, st, "b")
	if b := next(t, open(t, st, b.Next)); string(b.Records[0].Value) != "b" {
		t.Errorf("on the new connection: %+v", b)
	}
}

// For records trimmed in front of a reader, the reader reports a hole and does not wait.
func TestAPlaceThatIsTrimmed(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.TrimDelay(0))
	st := dial(t, srv).Basin(basinName).Stream(streamName(), s2.BareOffsets())
	put(t, st, "a", "b", "c")
	err := st.Trim(t.Context(), "3")
	check(t, err)
	// Only the trim command is left, at 3.
	r := open(t, st, "1")
	for {
		b, err := r.Read(t.Context())
		if err == nil && len(b.Records) == 0 && b.Next == "1" {
			continue
		}
		if !errors.Is(err, backend.ErrOutOfRange) {
			t.Errorf("%+v, %v, want ErrOutOfRange", b, err)
		}
		break
	}
	if b := readBatch(t, open(t, st, backend.Earliest)); len(b.Records) != 0 || b.Next != "4" {
		t.Errorf("from Earliest: %+v", b)
	}
}

func TestUnaryCallsHoldTheirConditionsAndLimits(t *testing.T) {
	t.Parallel()
	_, st := fresh(t, []s2.Option{s2.Gzip()})
	ctx := t.Context()
	at := time.UnixMilli(1_700_000_000_123)
	recs := []backend.Record{
		{Value: []byte("\x00\xff\xfe"), Headers: backend.Headers{{Name: "k", Value: []byte{0xff}}, {Name: "k"}}, Time: at},
		{Value: nil},
		{Value: []byte(strings.Repeat("large ", 1000))},
	}
	zero := uint64(0)
	got, err := st.Append(ctx, recs, s2.Condition{SeqNum: &zero})
	if err != nil || got.Start.SeqNum != 0 || got.End.SeqNum != 3 || got.Tail != got.End {
		t.Fatalf("%+v, %v", got, err)
	}
	_, err = st.Append(ctx, recs, s2.Condition{SeqNum: &zero})
	var refused *s2.Error
	if want(t, err, backend.ErrConflict); !errors.As(err, &refused) || refused.SeqNum != 3 {
		t.Errorf("%v", err)
	}
	token := "another's"
	_, err = st.Append(ctx, recs, s2.Condition{FencingToken: &token})
	want(t, err, backend.ErrFenced)

	slice, err := st.Read(ctx, s2.Range{From: backend.Earliest})
	if err != nil || len(slice.Records) != 3 {
		t.Fatalf("%+v, %v", slice, err)
	}
	first := slice.Records[0]
	if string(first.Value) != "\x00\xff\xfe" || len(first.Headers) != 2 || first.Headers[0].Value[0] != 0xff || !first.Time.Equal(at) || first.Offset != "0" || first.Next != "1" {
		t.Errorf("%+v", first)
	}
	if len(slice.Records[1].Value) != 0 || len(slice.Records[2].Value) != 6000 {
		t.Errorf("%+v", slice.Records[1:])
	}
	for what, c := range map[string]struct {
		r    s2.Range
		want int
	}{
		"a count":           {s2.Range{From: "1", Count: 1}, 1},
		"bytes":             {s2.Range{From: "0", Bytes: 40}, 2},
		"a time":            {s2.Range{From: "0", Until: at.Add(time.Millisecond)}, 1},
		"the last two":      {s2.Range{From: backend.Last(2)}, 2},
		"beyond, clamped":   {s2.Range{From: "99", Clamp: true, Wait: time.Second}, 0},
		"from a given time": {s2.Range{From: backend.AtTime(at.Add(time.Millisecond))}, 2},
	} {
		if s, err := st.Read(ctx, c.r); err != nil || len(s.Records) != c.want {
			t.Errorf("%s: %d records, %v, want %d", what, len(s.Records), err, c.want)
		}
	}
	_, err = st.Read(ctx, s2.Range{From: "99"})
	if want(t, err, backend.ErrOutOfRange); !errors.As(err, &refused) || refused.Tail.SeqNum != 3 {
		t.Errorf("%v", err)
	}
}

// After a heartbeat with a later tail, the records before the tail are either still to come or trimmed.
func TestAHeartbeatAheadOfItsRecords(t *testing.T) {
	beat := s2test.Frame(frame(0, unhex("12 02 08 09"))) // the tail is at 9
	for name, c := range map[string]struct {
		from backend.Offset
		kind error
	}{"on their way": {"1", nil}, "gone": {"3", backend.ErrOutOfRange}} {
		srv, st := fresh(t, nil)
		put(t, st, "a", "b", "c")
		in := srv.Inject(s2test.Fault{Op: s2test.ReadSession, Stage: s2test.Replying, Do: beat})
		b, err := open(t, st, c.from).Read(t.Context())
		if !errors.Is(err, c.kind) || err == nil && (len(b.Records) != 0 || b.Next != c.from || b.CaughtUp) || in.Hits() != 1 {
			t.Errorf("%s: %+v, %v", name, b, err)
		}
	}
}
