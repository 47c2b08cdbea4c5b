package postgres_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// queries is a tracer of pgx that sees the queries of readers. hold, if set, is called when a query begins, with the
// number of queries before it.
type queries struct {
	begun chan int
	hold  func(ctx context.Context, n int)
	n     int
}

func (q *queries) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(data.SQL, "WITH x") {
		n := q.n
		q.n++
		q.begun <- n
		if q.hold != nil {
			q.hold(ctx, n)
		}
	}
	return ctx
}

func (*queries) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// wait returns when query n has begun.
func (q *queries) wait(t *testing.T, ctx context.Context, n int) {
	t.Helper()
	for begun := -1; begun != n; {
		select {
		case begun = <-q.begun:
		case <-ctx.Done():
			t.Fatalf("query %d does not begin", n)
		}
	}
}

// twoPages makes a stream of three records, two of which fill a page, and opens a reader whose queries go through q.
func twoPages(t *testing.T, q *queries) backend.Reader {
	t.Helper()
	pool := newPool(t)
	large := strings.Repeat("x", 1<<20-64)
	s := newDB(t, pool).Stream("orders")
	send(t, s, large, large, large)
	readAll(t, s, backend.Earliest) // a transaction elsewhere in the server may hold up records at first
	traced := newDB(t, configured(t, pool, func(c *pgxpool.Config) { c.ConnConfig.Tracer = q }))
	r, err := traced.Stream("orders").OpenReader(patience(t), backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

func TestReaderAsksForTheNextPageBeforeItsCaller(t *testing.T) {
	ctx := patience(t)
	q := &queries{begun: make(chan int, 16)}
	r := twoPages(t, q)
	b, err := r.Read(ctx)
	if err != nil || len(b.Records) != 2 {
		t.Fatalf("%d records, %v", len(b.Records), err)
	}
	q.wait(t, ctx, 1)
	if b, err = r.Read(ctx); err != nil || len(b.Records) != 1 || !b.CaughtUp {
		t.Errorf("%d records, caught up: %v, %v", len(b.Records), b.CaughtUp, err)
	}
}

// The server does not answer the query for the second page.
func TestReaderThatEndsDoesNotWaitForItsQuery(t *testing.T) {
	for _, end := range []string{"context", "close"} {
		t.Run(end, func(t *testing.T) {
			ended := make(chan struct{})
			q := &queries{begun: make(chan int, 16), hold: func(ctx context.Context, n int) {
				if n == 1 {
					<-ctx.Done()
					close(ended)
				}
			}}
			r := twoPages(t, q)
			patient := patience(t)
			if _, err := r.Read(patient); err != nil {
				t.Fatal(err)
			}
			q.wait(t, patient, 1)
			ctx, cancel := context.WithCancel(patient)
			defer cancel()
			read := make(chan error, 1)
			go func() {
				_, err := r.Read(ctx)
				read <- err
			}()
			want := context.Canceled
			if end == "context" {
				cancel()
			} else {
				want = backend.ErrClosed
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if err := <-read; !errors.Is(err, want) {
				t.Errorf("%v", err)
			}
			select {
			case <-ended:
			case <-patient.Done():
				t.Error("the query goes on")
			}
		})
	}
}

// Sizes that change from page to page: no record may be left out or returned twice, and no page may grow beyond its bounds.
func TestPagesOfMixedSizesHoldEveryRecordOnce(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	s := newDB(t, pool).Stream("orders")
	p, err := producer.New(ctx, s, codec.Bytes(), producer.BatchRecords(1000))
	if err != nil {
		t.Fatal(err)
	}
	const n, largest = 9000, 300_000
	for i := range n {
		size := 4
		switch {
		case i >= 5000 && i < 5020:
			size = largest
		case i >= 6000 && i < 7500:
			size = 2000
		}
		v := append(binary.BigEndian.AppendUint32(nil, uint32(i)), bytes.Repeat([]byte("x"), size-4)...)
		if _, err := p.Enqueue(ctx, v); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	next := backend.Offset("")
	for got := 0; got < n; {
		b, err := r.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		bytes := 0
		for _, rec := range b.Records {
			if i := binary.BigEndian.Uint32(rec.Value); int(i) != got {
				t.Fatalf("record %d in the place of %d", i, got)
			}
			got++
			bytes += len(rec.Value)
			next = rec.Next
		}
		if len(b.Records) > 4000 || bytes > 2<<20 {
			t.Errorf("a batch of %d records and %d bytes", len(b.Records), bytes)
		}
		if b.Next != next || b.CaughtUp != (got == n) {
			t.Errorf("after %d records: next %s, want %s; caught up: %v", got, b.Next, next, b.CaughtUp)
		}
	}
}

// A consumer has copied the records out of the slice before it gives the slice back.
func TestCopiesOfRecordsStayAfterFree(t *testing.T) {
	ctx := patience(t)
	s := newDB(t, newPool(t)).Stream("orders")
	const n = 9000 // more than two pages
	p, err := producer.New(ctx, s, codec.String())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		_, err := p.EnqueueRecord(ctx, producer.Record[string]{Value: fmt.Sprint(i), Headers: backend.Headers{{Name: "n", Value: []byte(fmt.Sprint(i))}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := s.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var kept []backend.Record
	for len(kept) < n {
		b, err := r.Read(ctx)
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, b.Records...)
		switch {
		case b.Free != nil:
			b.Free()
		case len(b.Records) > 1000:
			t.Fatalf("a batch of %d records has no Free", len(b.Records))
		}
	}
	for i, r := range kept {
		want := fmt.Sprint(i)
		if string(r.Value) != want || len(r.Headers) != 1 || string(r.Headers[0].Value) != want || i > 0 && r.Offset == kept[i-1].Offset {
			t.Fatalf("record %d is %+v", i, r)
		}
	}
}

// The error is not transient: a reader that is opened again finds the same column.
func TestColumnOfAnotherTypeIsAnError(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	s := newDB(t, pool).Stream("orders")
	send(t, s, "a")
	if _, err := pool.Exec(ctx, "ALTER TABLE headrace_records ALTER COLUMN no TYPE BIGINT"); err != nil {
		t.Fatal(err)
	}
	fresh := newDB(t, configured(t, pool, func(*pgxpool.Config) {})).Stream("orders") // without statements of the old type
	r, err := fresh.OpenReader(ctx, backend.Earliest)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	b, err := r.Read(ctx)
	if err == nil && len(b.Records) == 0 { // a transaction of another test hides the record, and the first Read does not wait
		b, err = r.Read(ctx)
	}
	if err == nil || errors.Is(err, backend.ErrTransient) || !strings.Contains(err.Error(), "headrace_records") {
		t.Errorf("%q, %v", values(t, b), err)
	}
}
