package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
)

func TestAppendTxNeedsNoSecondConnection(t *testing.T) {
	ctx := patience(t)
	pool := configured(t, newPool(t), func(c *pgxpool.Config) { c.MaxConns = 1 })
	db := newDB(t, pool)
	tx := begin(t, pool)
	if err := db.Stream("orders").AppendTx(ctx, tx, rec("a")); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, db.Stream("orders"), backend.Earliest); fmt.Sprint(got) != "[a]" {
		t.Errorf("read %q", got)
	}
}

func TestTransactionAppendsThroughTwoAddressesOfAStream(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	db := newDB(t, pool)
	tx := begin(t, pool)
	for _, v := range []string{"a", "b"} {
		if err := db.Stream("orders").AppendTx(ctx, tx, rec("%s", v)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, db.Stream("orders"), backend.Earliest); fmt.Sprint(got) != "[a b]" {
		t.Errorf("read %q", got)
	}
}

// A business transaction that stays open must not stop producers, other transactions or a trim of its stream.
func TestOpenTransactionHoldsUpNoWriter(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	db := newDB(t, pool)
	send(t, db.Stream("orders"), "0", "1")
	open := begin(t, pool)
	if err := db.Stream("orders").AppendTx(ctx, open, rec("open")); err != nil {
		t.Fatal(err)
	}
	send(t, db.Stream("orders"), "2")
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return db.Stream("orders").AppendTx(ctx, tx, rec("3")) }); err != nil {
		t.Fatal(err)
	}
	if err := db.Stream("orders").Trim(ctx, backend.Latest); err != nil {
		t.Fatal(err)
	}
	if err := open.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, db.Stream("orders"), backend.Earliest); fmt.Sprint(got) != "[open 2 3]" {
		t.Errorf("read %q, want what was not readable at the trim", got)
	}
}

// Two transactions change one row, and each says so. The one that began first changes the row last: its event must come last too.
func TestEventsOfARowComeInTheOrderOfItsChanges(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	s := newDB(t, pool).Stream("orders")
	if _, err := pool.Exec(ctx, `CREATE TABLE orders (id INT PRIMARY KEY, v INT); CREATE TABLE other (id INT); INSERT INTO orders VALUES (1, 0)`); err != nil {
		t.Fatal(err)
	}
	first := begin(t, pool)
	if _, err := first.Exec(ctx, `INSERT INTO other VALUES (1)`); err != nil { // it has its number now
		t.Fatal(err)
	}
	change := func(tx pgx.Tx, v int) {
		if _, err := tx.Exec(ctx, `UPDATE orders SET v = $1`, v); err != nil {
			t.Fatal(err)
		}
		if err := s.AppendTx(ctx, tx, rec("v%d", v)); err != nil {
			t.Fatal(err)
		}
		if err := tx.Commit(ctx); err != nil {
			t.Fatal(err)
		}
	}
	change(begin(t, pool), 1)
	change(first, 2)
	if got := readAll(t, s, backend.Earliest); fmt.Sprint(got) != "[v1 v2]" {
		t.Errorf("read %q", got)
	}
}

func TestTrimKeepsWhatMayStillCommit(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	s := newDB(t, pool).Stream("orders")
	send(t, s, "0")
	open := begin(t, pool)
	if err := s.AppendTx(ctx, open, rec("open")); err != nil {
		t.Fatal(err)
	}
	if err := s.Trim(ctx, send(t, s, "1", "2")); err != nil {
		t.Fatal(err)
	}
	if err := open.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, s, backend.Earliest); !slices.Contains(got, "open") {
		t.Errorf("read %q without the record of the transaction that was open", got)
	}
}

func TestNilTransactionIsRefused(t *testing.T) {
	if err := newDB(t, newPool(t)).Stream("orders").AppendTx(t.Context(), nil, rec("a")); err == nil || !strings.Contains(err.Error(), "the transaction is nil") {
		t.Error(err)
	}
}
