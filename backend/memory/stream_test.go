package memory_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/memory"
)

func values(from, to int) (recs []backend.Record) {
	for i := from; i < to; i++ {
		recs = append(recs, backend.Record{Value: fmt.Appendf(nil, "record %d", i)})
	}
	return recs
}

func appendAll(t *testing.T, s backend.Sink, batches ...[]backend.Record) {
	t.Helper()
	one, err := s.NewAppender(backend.Format{}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	for i, b := range batches {
		if err := one.Send(t.Context(), uint64(i), b); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Recv(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// collect reads from a place to the tail, in how many batches it takes.
func collect(t *testing.T, s backend.Source, from backend.Offset) (recs []backend.Record, batches int) {
	t.Helper()
	r, err := s.OpenReader(t.Context(), from)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		b, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		recs = append(recs, b.Records...)
		if batches++; b.CaughtUp {
			return recs, batches
		}
	}
}

func wantValues(t *testing.T, recs []backend.Record, from, to int) {
	t.Helper()
	if len(recs) != to-from {
		t.Fatalf("%d records, want %d to %d", len(recs), from, to)
	}
	for i, r := range recs {
		if n := from + i; string(r.Value) != fmt.Sprintf("record %d", n) || !strings.HasPrefix(string(r.Offset), fmt.Sprint(n, "@")) {
			t.Fatalf("record %d is %q at %q", n, r.Value, r.Offset)
		}
	}
}

// Batches of one are gathered, large ones are returned as they are, and every place is one to start at.
func TestBatchesOfAllSizes(t *testing.T) {
	s := memory.New(memory.BatchRecords(math.MaxInt))
	n := 0
	var batches [][]backend.Record
	for _, size := range []int{1, 1, 1, 63, 64, 65, 3000, 1, 500, 2, 2} {
		batches = append(batches, values(n, n+size))
		n += size
	}
	appendAll(t, s, batches...)
	for from := 0; from <= n; from += 13 {
		recs, _ := collect(t, s, backend.Offset(fmt.Sprint(from)))
		wantValues(t, recs, from, n)
	}

	singles := memory.New()
	batches = nil
	for i := range 1000 {
		batches = append(batches, values(i, i+1))
	}
	appendAll(t, singles, batches...)
	if recs, batches := collect(t, singles, backend.Earliest); len(recs) != 1000 || batches != 1 {
		t.Fatalf("1000 batches of one record were read in %d", batches)
	}
}

// A batch that is read stays below a MiB where one record does.
func TestReadIsBounded(t *testing.T) {
	s := memory.New(memory.BatchBytes(math.MaxInt), memory.RecordBytes(math.MaxInt))
	sizes := []int{700_000, 700_000, 10, 5 << 20, 10, 10}
	var recs []backend.Record
	for _, n := range sizes {
		recs = append(recs, backend.Record{Value: make([]byte, n)})
	}
	appendAll(t, s, recs[:3], recs[3:])
	r, err := s.OpenReader(t.Context(), backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	var got []int
	for {
		b, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, len(b.Records))
		if b.CaughtUp {
			break
		}
	}
	if want := []int{1, 2, 1, 2}; !slices.Equal(got, want) {
		t.Fatalf("batches of %v records, want %v", got, want)
	}
}

func TestTrim(t *testing.T) {
	s := memory.New()
	appendAll(t, s, values(0, 100), values(100, 200))
	if err := s.Trim(t.Context(), "150"); err != nil {
		t.Fatal(err)
	}
	if s.Len() != 50 {
		t.Fatalf("%d records", s.Len())
	}
	wantValues(t, s.Records(), 150, 200)
	recs, _ := collect(t, s, backend.Earliest)
	wantValues(t, recs, 150, 200)
	if _, err := s.OpenReader(t.Context(), "149"); !errors.Is(err, backend.ErrOutOfRange) {
		t.Fatalf("trimmed place: %v", err)
	}
	if err := s.Trim(t.Context(), "201"); !errors.Is(err, backend.ErrOutOfRange) {
		t.Fatalf("beyond the tail: %v", err)
	}
	if err := s.Trim(t.Context(), backend.Latest); err != nil || s.Len() != 0 || len(s.Records()) != 0 {
		t.Fatalf("%v, %d records left", err, s.Len())
	}
}

func TestAtTime(t *testing.T) {
	s := memory.New()
	at := func(sec int64) time.Time { return time.Unix(sec, 0) }
	var recs []backend.Record
	for _, sec := range []int64{10, 30, 20, 30, 25, 40} {
		recs = append(recs, backend.Record{Time: at(sec)})
	}
	appendAll(t, s, recs[:2], recs[2:4], recs[4:])
	check := func(sec int64, want int) {
		t.Helper()
		if got, _ := collect(t, s, backend.AtTime(at(sec))); len(got) != want {
			t.Errorf("from %d on: %d records, want %d", sec, len(got), want)
		}
	}
	check(0, 6)
	check(10, 6)
	check(11, 5)
	check(31, 1)
	check(41, 0)
	if err := s.Trim(t.Context(), "2"); err != nil { // the one at 30 that came first is gone
		t.Fatal(err)
	}
	check(11, 4)
	check(21, 3)
	check(40, 1)
}

// Several producers and readers at once: every producer's records are in its order, and every reader sees the same.
func TestProducersAndReadersAtOnce(t *testing.T) {
	s := memory.New()
	const producers, batches = 4, 50
	var wg sync.WaitGroup
	for p := range producers {
		wg.Go(func() {
			one, err := s.NewAppender(backend.Format{}).Open(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			defer one.Close()
			for seq := range uint64(batches) {
				rec := backend.Record{Value: fmt.Appendf(nil, "%d/%03d", p, seq)}
				if err := one.Send(t.Context(), seq, []backend.Record{rec}); err != nil {
					t.Error(err)
				}
				if _, err := one.Recv(t.Context()); err != nil {
					t.Error(err)
				}
			}
		})
	}
	results := make([][]string, 3)
	var readers sync.WaitGroup
	for i := range results {
		readers.Go(func() {
			r, err := s.OpenReader(t.Context(), backend.Earliest)
			if err != nil {
				t.Error(err)
				return
			}
			for {
				b, err := r.Read(t.Context())
				if err != nil {
					if err != io.EOF {
						t.Error(err)
					}
					return
				}
				for _, rec := range b.Records {
					results[i] = append(results[i], string(rec.Value))
				}
			}
		})
	}
	wg.Wait()
	if err := s.Seal(t.Context()); err != nil {
		t.Fatal(err)
	}
	readers.Wait()
	for _, got := range results {
		if len(got) != producers*batches || !slices.Equal(got, results[0]) {
			t.Fatalf("%d records, want %d and the same for every reader", len(got), producers*batches)
		}
	}
	for p := range producers {
		last := ""
		for _, v := range results[0] {
			if v[0] == byte('0'+p) {
				if v <= last {
					t.Fatalf("%s behind %s", v, last)
				}
				last = v
			}
		}
	}
}

// A record costs no allocation, neither appended nor read.
func TestAllocations(t *testing.T) {
	s := filled(t, 1, 1000)
	one, err := s.NewAppender(backend.Format{}).Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	recs, seq := batch(1000), uint64(0)
	ctx := t.Context()
	perAppend := testing.AllocsPerRun(20, func() {
		if err := one.Send(ctx, seq, recs); err != nil {
			t.Fatal(err)
		}
		if _, err := one.Recv(ctx); err != nil {
			t.Fatal(err)
		}
		seq++
	})
	if perAppend > 20 {
		t.Errorf("%v allocations a batch of 1000 appended", perAppend)
	}
	r, err := s.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	perRead := testing.AllocsPerRun(10, func() {
		if b, err := r.Read(ctx); err != nil || len(b.Records) != 1000 {
			t.Fatalf("%d records, %v", len(b.Records), err)
		}
	})
	if perRead > 0 {
		t.Errorf("%v allocations a batch of 1000 read", perRead)
	}
}

func TestPlaceInAnotherStreamIsOutOfRange(t *testing.T) {
	one, two := memory.New(), memory.New()
	appendAll(t, one, values(0, 5))
	appendAll(t, two, values(0, 6))
	recs, _ := collect(t, one, backend.Earliest)
	place := recs[4].Next
	if _, err := two.OpenReader(t.Context(), place); !errors.Is(err, backend.ErrOutOfRange) {
		t.Errorf("read: %v", err)
	}
	if err := two.Trim(t.Context(), place); !errors.Is(err, backend.ErrOutOfRange) {
		t.Errorf("trim: %v", err)
	}
	if err := one.Trim(t.Context(), place); err != nil || one.Len() != 0 {
		t.Errorf("trim of its own stream: %v, %d records are left", err, one.Len())
	}
}
