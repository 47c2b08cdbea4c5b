package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/postgres"
)

// The database remembers so many batches of a producer. The first batches make new rows, and each later batch takes the row of
// the oldest batch.
const slots = 32

// resume opens a session that goes on at batch seq of the producer "p".
func resume(t *testing.T, s *postgres.Stream, seq uint64) backend.Session {
	t.Helper()
	ctx := patience(t)
	a, _, err := s.Resume(ctx, backend.Format{}, backend.Resumption{Name: "p", Seq: seq, Sent: 1000})
	if err != nil {
		t.Fatal(err)
	}
	session, err := a.Open(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

func appendOne(ctx context.Context, session backend.Session, seq uint64, r backend.Record) (backend.Ack, error) {
	if err := session.Send(ctx, seq, []backend.Record{r}); err != nil {
		return backend.Ack{}, err
	}
	return session.Recv(ctx)
}

// lone is record i of these tests. Some have headers, some have a time of their own.
func lone(i uint64) backend.Record {
	r := rec("%d", i)
	if i%3 == 1 {
		r.Headers = backend.Headers{{Name: "n", Value: []byte(fmt.Sprint(i))}}
	}
	if i%3 == 2 {
		r.Time = time.Unix(int64(i), 1).UTC()
	}
	return r
}

func TestLoneRecordsAreStoredWhole(t *testing.T) {
	ctx := patience(t)
	s := newDB(t, newPool(t)).Stream("orders")
	session := resume(t, s, 0)
	var places []backend.Offset
	for i := range uint64(3 * slots) {
		ack, err := appendOne(ctx, session, i, lone(i))
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, ack.OffsetOf(0))
	}
	r, err := s.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for i := uint64(0); i < 3*slots; {
		b, err := r.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range b.Records {
			want := lone(i)
			if string(got.Value) != string(want.Value) || got.Offset != places[i] || fmt.Sprint(got.Headers) != fmt.Sprint(want.Headers) ||
				!want.Time.IsZero() && !got.Time.Equal(want.Time) || want.Time.IsZero() && time.Since(got.Time).Abs() > time.Hour {
				t.Errorf("record %d at %s: %+v, want %+v", i, places[i], got, want)
			}
			i++
		}
	}
}

func TestResendsOfLoneRecordsAreRecognized(t *testing.T) {
	ctx := patience(t)
	s := newDB(t, newPool(t)).Stream("orders")
	const n = 2*slots + 5
	var places []backend.Offset
	session := resume(t, s, 0)
	for i := range uint64(n) {
		ack, err := appendOne(ctx, session, i, lone(i))
		if err != nil {
			t.Fatal(err)
		}
		places = append(places, ack.OffsetOf(0))
	}
	session = resume(t, s, n-slots)
	for i := range uint64(slots) {
		if ack, err := appendOne(ctx, session, i, lone(n-slots+i)); err != nil || ack.OffsetOf(0) != places[n-slots+i] {
			t.Fatalf("resend %d: %v, %v", i, ack, err)
		}
	}
	if _, err := appendOne(ctx, session, slots, lone(n)); err != nil {
		t.Errorf("the batch behind the resends: %v", err)
	}
	for text, c := range map[string]struct {
		seq uint64
		rec backend.Record
	}{
		"a batch that the database has forgotten": {n - slots, lone(n - slots)},
		"other records under a number":            {n - 3, rec("other")},
	} {
		if _, err := appendOne(ctx, resume(t, s, c.seq), 0, c.rec); !errors.Is(err, backend.ErrConflict) {
			t.Errorf("%s: %v", text, err)
		}
	}
	if got := readAll(t, s, backend.Earliest); len(got) != n+1 {
		t.Errorf("%d records are stored, want %d", len(got), n+1)
	}
}

// appendUntil appends records one by one until an append fails, and returns the acknowledged records and the failure. started is
// closed when the producer goes on in the rows of older batches.
func appendUntil(ctx context.Context, a backend.Appender, producer int, started chan<- struct{}) (acked []string, err error) {
	session, err := a.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	for seq := uint64(0); ; seq++ {
		if seq == slots+1 {
			close(started)
		}
		r := rec("%d/%d", producer, seq)
		if _, err := appendOne(ctx, session, seq, r); err != nil {
			return acked, err
		}
		acked = append(acked, string(r.Value))
	}
}

// whileAppending calls do while several producers append records one by one, until each producer has failed with want.
func whileAppending(t *testing.T, s *postgres.Stream, do func(context.Context) error, want error) (acked []string) {
	t.Helper()
	const producers = 3
	ctx := patience(t)
	type result struct {
		acked []string
		err   error
	}
	results := make(chan result, producers)
	var started [producers]chan struct{}
	for i := range started {
		started[i] = make(chan struct{})
		go func() {
			acked, err := appendUntil(ctx, s.NewAppender(backend.Format{}), i, started[i])
			results <- result{acked, err}
		}()
	}
	for _, c := range started {
		select {
		case <-c:
		case r := <-results:
			t.Fatalf("a producer failed before its time: %v", r.err)
		}
	}
	if err := do(ctx); err != nil {
		t.Fatal(err)
	}
	for range producers {
		r := <-results
		if !errors.Is(r.err, want) {
			t.Errorf("a producer ended with %v, want %v", r.err, want)
		}
		acked = append(acked, r.acked...)
	}
	return acked
}

func TestSealedStreamHoldsEveryLoneRecordThatWasAcknowledged(t *testing.T) {
	db := newDB(t, newPool(t))
	for round := range 5 {
		s := db.Stream(fmt.Sprint(round))
		acked := whileAppending(t, s, s.Seal, backend.ErrStreamClosed)
		var got []string
		ctx := patience(t)
		r, err := s.OpenReader(ctx, backend.Earliest)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for {
			b, err := r.Read(ctx)
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, values(t, b)...)
		}
		slices.Sort(acked)
		slices.Sort(got)
		if !slices.Equal(acked, got) {
			t.Fatalf("%d records acknowledged, %d read before the end", len(acked), len(got))
		}
	}
}

func TestDeletedStreamLeavesNoLoneRecordBehind(t *testing.T) {
	pool := newPool(t)
	db := newDB(t, pool)
	for round := range 5 {
		name := fmt.Sprint(round)
		s := db.Stream(name)
		whileAppending(t, s, func(ctx context.Context) error { return db.Delete(ctx, name) }, backend.ErrNotFound)
		for _, table := range []string{"headrace_records", "headrace_batches"} {
			var n int
			if err := pool.QueryRow(patience(t), "SELECT count(*) FROM "+table).Scan(&n); err != nil || n != 0 {
				t.Fatalf("%d rows in %s, %v", n, table, err)
			}
		}
	}
}
