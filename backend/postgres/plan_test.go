package postgres_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

// The server plans the first five executions of a prepared statement one by one. Then it compares, and keeps one plan for all
// places only if a plan for one place does not look cheaper. At the tail, planning takes four times as long as the query.
func TestReaderAtTheTailIsNotPlannedEachTime(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	p, err := producer.New(ctx, newDB(t, pool).Stream("orders"), codec.Bytes(), producer.BatchRecords(1000))
	if err != nil {
		t.Fatal(err)
	}
	for range 20_000 {
		if _, err := p.Enqueue(ctx, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, "ANALYZE headrace_records"); err != nil {
		t.Fatal(err)
	}
	c, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Release()
	const queries = 20
	for range queries {
		rows, err := c.Query(ctx, postgres.ReadSQL, "orders", int64(1)<<40, 0, 0, postgres.ReadRecords, 1<<20)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for rows.Next() {
			n++
		}
		if err := rows.Err(); err != nil || n != 1 {
			t.Fatalf("%d rows, %v, want the state alone", n, err)
		}
	}
	var all, planned int
	err = c.QueryRow(ctx, `SELECT generic_plans + custom_plans, custom_plans FROM pg_prepared_statements WHERE statement LIKE 'WITH x%'`).Scan(&all, &planned)
	if err != nil || all != queries || planned > 5 {
		t.Errorf("%d of %d queries were planned, %v, want 5 of %d", planned, all, err, queries)
	}
}

func TestConstantLimitOfTheStatementIsThatOfReaders(t *testing.T) {
	limit := fmt.Sprintf("LIMIT %d) q", postgres.ReadRecords)
	if n := strings.Count(postgres.ReadSQL, limit); n != 3 {
		t.Errorf("the statement has %q %d times, want 3", limit, n)
	}
}
