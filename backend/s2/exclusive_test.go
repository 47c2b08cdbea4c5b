package s2_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/s2"
	"github.com/headrace/headrace/backend/s2/s2test"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// stored reads the whole stream.
func stored(t testing.TB, st *s2.Stream) []backend.Record {
	t.Helper()
	var all []backend.Record
	tail, err := st.CheckTail(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for uint64(len(all)) < tail.SeqNum {
		got, err := st.Read(t.Context(), s2.Range{From: s2.At(uint64(len(all)))})
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got.Records...)
	}
	return all
}

// produce sends n records in batches of ten and checks that the receipts tell the true offsets.
func produce(t *testing.T, st *s2.Stream, n int) producer.Stats {
	t.Helper()
	p, err := producer.New(t.Context(), st, codec.String(), producer.BatchRecords(10), producer.Linger(0), producer.Backoff(time.Millisecond, 50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	receipts := make([]producer.Receipt, n)
	for i := range receipts {
		if receipts[i], err = p.Enqueue(t.Context(), fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := p.Shutdown(ctx); err != nil {
		t.Fatal(err)
	}
	for i, r := range receipts {
		if off, err := r.Wait(t.Context()); err != nil || off != s2.At(uint64(i)) {
			t.Fatalf("record %d was acknowledged at %q, %v", i, off, err)
		}
	}
	return p.Stats()
}

func exactly(t *testing.T, st *s2.Stream, n int) {
	t.Helper()
	recs := stored(t, st)
	for i := range recs {
		if string(recs[i].Value) != fmt.Sprint(i) {
			t.Fatalf("record %d is %q", i, recs[i].Value)
		}
	}
	if len(recs) != n {
		t.Fatalf("%d records, want exactly %d", len(recs), n)
	}
}

// Under every fault, N appends are N records in order, and each receipt has the true offset.
func TestExclusiveIsExactlyOnce(t *testing.T) {
	t.Parallel()
	const n = 3000
	on := func(op s2test.Op, stage s2test.Stage, do s2test.Effect) s2test.Fault {
		return s2test.Fault{Op: op, Stage: stage, Do: do}
	}
	lost := on(s2test.AppendSession, s2test.Replying, s2test.Drop()) // the next session has a lost batch to look for
	var all crowd
	defer all.Wait()
	for _, c := range []struct {
		name   string
		faults []s2test.Fault
	}{
		{"dropped before it is stored", []s2test.Fault{on(s2test.AppendSession, s2test.Received, s2test.Drop())}},
		{"reset before it is stored", []s2test.Fault{on(s2test.AppendSession, s2test.Received, s2test.Reset())}},
		{"ended before it is stored", []s2test.Fault{on(s2test.AppendSession, s2test.Received, s2test.End())}},
		{"refused for now", []s2test.Fault{on(s2test.AppendSession, s2test.Received, s2test.Status(503, "server_draining"))}},
		{"failed, nobody knows how", []s2test.Fault{on(s2test.AppendSession, s2test.Received, s2test.Status(500, "storage"))}},
		{"ack lost", []s2test.Fault{on(s2test.AppendSession, s2test.Replying, s2test.Drop())}},
		{"ack reset", []s2test.Fault{on(s2test.AppendSession, s2test.Replying, s2test.Reset())}},
		{"ack withheld by an end", []s2test.Fault{on(s2test.AppendSession, s2test.Replying, s2test.End())}},
		{"ack replaced by a failure", []s2test.Fault{on(s2test.AppendSession, s2test.Replying, s2test.Status(500, "storage"))}},
		{"ack that is garbage", []s2test.Fault{on(s2test.AppendSession, s2test.Replying, s2test.Frame([]byte{0, 0, 0, 0}))}},
		{"ack cut off", []s2test.Fault{on(s2test.AppendSession, s2test.Replying, s2test.CutAfter(5))}},
		{"advised to reconnect", []s2test.Fault{on(s2test.AppendSession, s2test.Replying, s2test.AdviseReconnect())}},
		{"going away", []s2test.Fault{on(s2test.AppendSession, s2test.Replying, s2test.GoAway())}},
		{"reopening dropped", []s2test.Fault{lost, on(s2test.AppendSession, s2test.Arrived, s2test.Drop())}},
		{"reopening refused", []s2test.Fault{lost, on(s2test.AppendSession, s2test.Arrived, s2test.Status(503, "unavailable"))}},
		{"looking for the tail dropped", []s2test.Fault{lost, on(s2test.CheckTail, s2test.Arrived, s2test.Drop())}},
		{"reading back dropped", []s2test.Fault{lost, on(s2test.UnaryRead, s2test.Arrived, s2test.Drop())}},
		{"reading back refused", []s2test.Fault{lost, on(s2test.UnaryRead, s2test.Replying, s2test.Status(500, "other"))}},
	} {
		all.run(t, c.name, func(t *testing.T) {
			srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Duplicates())
			st := dial(t, srv).Basin(basinName).Stream(streamName(), s2.Exclusive(), s2.BareOffsets())
			var injected []*s2test.Injection
			for i, f := range c.faults {
				skips := []int{0, 40, 80} // early, in the middle, late
				switch {
				case i > 0 && f.Op == s2test.UnaryRead:
					skips = []int{0}
				case i > 0:
					skips = []int{1} // not at the first opening
				}
				for _, f.Skip = range skips {
					injected = append(injected, srv.Inject(f))
				}
			}
			stats := produce(t, st, n)
			for i, in := range injected {
				if in.Hits() == 0 {
					t.Errorf("fault %d did not strike", i)
				}
				in.Remove()
			}
			exactly(t, st, n)
			if d := srv.Stats().Duplicates; d != 0 {
				t.Errorf("%d batches were stored twice", d)
			}
			t.Logf("%d records exactly, %d batches sent of which %d again, %d sessions, %d faults", n, stats.Batches, stats.Resent, stats.Sessions, len(injected))
		})
	}
}

// Many faults of all kinds in one run.
func TestExclusiveIsExactlyOnceThroughEverything(t *testing.T) {
	const n = 3000
	srv := s2test.New(t, s2test.Basin(basinName, true), s2test.Duplicates())
	st := dial(t, srv).Basin(basinName).Stream(streamName(), s2.Exclusive(), s2.BareOffsets())
	stages := []s2test.Fault{
		{Op: s2test.AppendSession, Stage: s2test.Received, Do: s2test.Drop()},
		{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Drop()},
		{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.Reset()},
		{Op: s2test.AppendSession, Stage: s2test.Received, Do: s2test.Status(500, "storage")},
		{Op: s2test.AppendSession, Stage: s2test.Replying, Do: s2test.End()},
	}
	var injected []*s2test.Injection
	for i := range 20 {
		f := stages[i%len(stages)]
		f.Skip = 13 * i
		injected = append(injected, srv.Inject(f))
	}
	for i := range 5 {
		injected = append(injected,
			srv.Inject(s2test.Fault{Op: s2test.UnaryRead, Skip: 3 * i, Do: s2test.Drop()}),
			srv.Inject(s2test.Fault{Op: s2test.CheckTail, Skip: 1 + 3*i, Do: s2test.Status(503, "unavailable")}),
			srv.Inject(s2test.Fault{Op: s2test.AppendSession, Skip: 1 + 3*i, Do: s2test.Reset()}))
	}
	stats := produce(t, st, n)
	struck := srv.Stats().Faults
	for _, in := range injected {
		in.Remove()
	}
	if struck < 20 {
		t.Errorf("only %d faults struck", struck)
	}
	exactly(t, st, n)
	if d := srv.Stats().Duplicates; d != 0 {
		t.Errorf("%d batches were stored twice", d)
	}
	t.Logf("%d records exactly, %d batches sent of which %d again, %d sessions, %d faults", n, stats.Batches, stats.Resent, stats.Sessions, struck)
}

func values(vs ...string) []backend.Record {
	recs := make([]backend.Record, len(vs))
	for i, v := range vs {
		recs[i].Value = []byte(v)
	}
	return recs
}

// Exclusive tells the records of another writer from a lost batch of its own.
func TestExclusiveTellsAnotherWriterFromItself(t *testing.T) {
	for _, c := range []struct {
		name  string
		other []backend.Record
	}{
		{"as many records", values("x", "y")},
		{"fewer", values("a")},
		{"the same and others", values("a", "c")},
		{"the same value with a header", []backend.Record{{Value: []byte("a"), Headers: backend.Headers{{Name: "k"}}}, {Value: []byte("b")}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			srv := s2test.New(t, s2test.Basin(basinName, true))
			b := dial(t, srv).Basin(basinName)
			name := streamName()
			a := b.Stream(name, s2.Exclusive()).NewAppender(backend.Format{})
			s, err := a.Open(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			srv.Inject(s2test.Fault{Op: s2test.AppendSession, Stage: s2test.Received, Do: s2test.Drop()})
			if err := s.Send(t.Context(), 0, values("a", "b")); err != nil {
				t.Fatal(err)
			}
			_, err = s.Recv(t.Context())
			if !errors.Is(err, backend.ErrIndeterminate) || !errors.Is(err, backend.ErrTransient) {
				t.Fatalf("lost: %v, want both ErrIndeterminate and ErrTransient", err)
			}
			_ = s.Close()
			if _, err := b.Stream(name).Append(t.Context(), c.other, s2.Condition{}); err != nil {
				t.Fatal(err)
			}
			if s, err = a.Open(t.Context()); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			if err = s.Send(t.Context(), 0, values("a", "b")); err == nil {
				_, err = s.Recv(t.Context())
			}
			if !errors.Is(err, backend.ErrConflict) || errors.Is(err, backend.ErrTransient) {
				t.Errorf("%v, want ErrConflict", err)
			}
			if got := len(stored(t, b.Stream(name))); got != len(c.other) {
				t.Errorf("%d records, want the other writer's %d", got, len(c.other))
			}
		})
	}
}

func TestExclusiveConflictsWithAWriterInBetween(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true))
	b := dial(t, srv).Basin(basinName)
	name := streamName()
	p, err := producer.New(t.Context(), b.Stream(name, s2.Exclusive()), codec.String())
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := p.Send(t.Context(), "mine"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stream(name).Append(t.Context(), values("theirs"), s2.Condition{}); err != nil {
		t.Fatal(err)
	}
	err = p.Send(t.Context(), "mine again")
	var refused *s2.Error
	if !errors.Is(err, backend.ErrConflict) || !errors.As(err, &refused) || refused.SeqNum != 2 {
		t.Errorf("%v, want ErrConflict with the next sequence number 2", err)
	}
	if got := stored(t, b.Stream(name)); len(got) != 2 {
		t.Errorf("%d records, want 2", len(got))
	}
}

func TestTheLoserOfAFenceIsFenced(t *testing.T) {
	srv := s2test.New(t, s2test.Basin(basinName, true))
	b := dial(t, srv).Basin(basinName)
	for _, opts := range [][]s2.StreamOption{{s2.Fence("")}, {s2.Fence(""), s2.Exclusive()}} {
		name := streamName()
		first, err := producer.New(t.Context(), b.Stream(name, opts...), codec.String())
		if err != nil {
			t.Fatal(err)
		}
		defer first.Close()
		if err := first.Send(t.Context(), "first"); err != nil {
			t.Fatal(err)
		}
		second, err := producer.New(t.Context(), b.Stream(name, opts...), codec.String())
		if err != nil {
			t.Fatal(err)
		}
		defer second.Close()
		if err := first.Send(t.Context(), "late"); !errors.Is(err, backend.ErrFenced) {
			t.Errorf("the loser: %v, want ErrFenced", err)
		}
		if err := second.Send(t.Context(), "second"); err != nil {
			t.Errorf("the winner: %v", err)
		}
		var got []string
		for _, r := range stored(t, b.Stream(name)) {
			if len(r.Headers) == 0 { // no command
				got = append(got, string(r.Value))
			}
		}
		if fmt.Sprint(got) != "[first second]" {
			t.Errorf("stored %q", got)
		}
	}
	// Another program has set the token.
	name := streamName()
	if _, err := b.Stream(name).SetFence(t.Context(), "ours", s2.Condition{}); err != nil {
		t.Fatal(err)
	}
	for token, want := range map[string]error{"ours": nil, "theirs": backend.ErrFenced} {
		p, err := producer.New(t.Context(), b.Stream(name, s2.FencingToken(token)), codec.String())
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Send(t.Context(), "x"); !errors.Is(err, want) {
			t.Errorf("with %q: %v, want %v", token, err, want)
		}
		_ = p.Close()
	}
}
