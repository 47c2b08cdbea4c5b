package outbox_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/outbox"
	"github.com/headrace/headrace/producer"
)

// A ledger is a database whose transactions are slices of records.
type ledger struct{ fail error }

func (l *ledger) AppendTx(_ context.Context, tx *[]backend.Record, recs ...backend.Record) error {
	if l.fail == nil {
		*tx = append(*tx, recs...)
	}
	return l.fail
}

func TestPutEncodesAllValuesOrNone(t *testing.T) {
	var tx []backend.Record
	l := &ledger{}
	o := outbox.New(l, codec.JSON[float64]())
	if err := o.Put(t.Context(), &tx, 1, 2.5); err != nil || len(tx) != 2 || string(tx[1].Value) != "2.5" {
		t.Errorf("%v, %v", tx, err)
	}
	if err := o.Put(t.Context(), &tx, 3, math.Inf(1)); !errors.Is(err, backend.ErrRejected) || !strings.Contains(err.Error(), "value 2 of 2") || len(tx) != 2 {
		t.Errorf("%v, %v", tx, err)
	}
	if err := o.Put(t.Context(), &tx); err != nil || len(tx) != 2 {
		t.Errorf("%v, %v", tx, err)
	}
	at := time.Unix(1, 2)
	headers := backend.Headers{{Name: "trace", Value: []byte("t")}}
	if err := o.PutRecords(t.Context(), &tx, producer.Record[float64]{Value: 4, Headers: headers, Time: at}); err != nil || len(tx) != 3 ||
		!tx[2].Time.Equal(at) || string(tx[2].Headers[0].Value) != "t" {
		t.Errorf("%v, %v", tx, err)
	}
	l.fail = backend.ErrStreamClosed
	if err := o.Put(t.Context(), &tx, 5); !errors.Is(err, backend.ErrStreamClosed) {
		t.Error(err)
	}
}

func TestOutboxWithoutItsPartsSaysSo(t *testing.T) {
	for name, o := range map[string]*outbox.Outbox[float64, *[]backend.Record]{
		"no appender": outbox.New[float64, *[]backend.Record](nil, codec.JSON[float64]()),
		"no codec":    outbox.New[float64](&ledger{}, nil),
	} {
		if err := o.Put(t.Context(), new([]backend.Record), 1); err == nil || !strings.Contains(err.Error(), "was nil") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type change struct{ Row, Version int }

// Writers change rows that they share, in transactions of random length of which some roll back. The events of each row must be its
// versions without a hole, in order.
func TestEventsAreThereIfAndOnlyIfTheirTransactionCommits(t *testing.T) {
	const rows, writers, each = 3, 4, 60
	ctx := t.Context()
	pool := newPool(t)
	db, err := postgres.Open(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := pool.Exec(ctx, `CREATE TABLE things (id INT PRIMARY KEY, version INT NOT NULL); CREATE TABLE other (x INT);
		INSERT INTO things SELECT n, 0 FROM generate_series(0, $1 - 1) n`, pgx.QueryExecModeSimpleProtocol, rows); err != nil {
		t.Fatal(err)
	}
	events := db.Stream("things")
	o := outbox.New(events, codec.JSON[change]())
	errs := make(chan error)
	for w := range writers {
		go func() {
			for i := range each {
				if err := bump(ctx, pool, o, (w+i)%rows, i%5 == 4, i%3 == 0); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		if err := <-errs; err != nil {
			t.Fatal(err)
		}
	}
	c, err := consumer.New(events, codec.JSON[change](), consumer.StopAtTail())
	if err != nil {
		t.Fatal(err)
	}
	got := make([]int, rows)
	for m, err := range c.Messages(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		if got[m.Value.Row]++; m.Value.Version != got[m.Value.Row] {
			t.Fatalf("version %d of row %d comes as event %d", m.Value.Version, m.Value.Row, got[m.Value.Row])
		}
	}
	var want []int
	if err := pool.QueryRow(ctx, `SELECT array_agg(version ORDER BY id) FROM things`).Scan(&want); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("events up to version %v, the rows have %v", got, want)
	}
}

var errChanged = errors.New("the mind was changed")

// bump raises the version of a row. early gives the transaction its number before the row is locked.
func bump(ctx context.Context, pool *pgxpool.Pool, o *outbox.Outbox[change, pgx.Tx], row int, rollBack, early bool) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if early {
			if _, err := tx.Exec(ctx, `INSERT INTO other VALUES (1)`); err != nil {
				return err
			}
		}
		c := change{Row: row}
		if err := tx.QueryRow(ctx, `UPDATE things SET version = version + 1 WHERE id = $1 RETURNING version`, row).Scan(&c.Version); err != nil {
			return err
		}
		if err := o.Put(ctx, tx, c); err != nil || !rollBack {
			return err
		}
		return errChanged
	})
	if errors.Is(err, errChanged) {
		return nil
	}
	return err
}

func newPool(t *testing.T) *pgxpool.Pool {
	dsn := os.Getenv("HEADRACE_POSTGRES")
	if dsn == "" {
		t.Skip("HEADRACE_POSTGRES is not set: no PostgreSQL to test with")
	}
	schema := "t" + strings.ToLower(rand.Text())
	pool, err := pgxpool.New(t.Context(), dsn+" search_path="+schema)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(t.Context(), "CREATE SCHEMA "+schema); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), fmt.Sprintf("DROP SCHEMA %s CASCADE", schema)); err != nil {
			t.Error(err)
		}
		pool.Close()
	})
	return pool
}
