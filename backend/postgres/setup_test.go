package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/postgres"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/producer"
)

func TestProgramWithoutTheRightToMakeTablesWorks(t *testing.T) {
	ctx := patience(t)
	admin := newPool(t)
	schema := admin.Config().ConnConfig.RuntimeParams["search_path"]
	newDB(t, admin)
	role := "r" + schema
	if _, err := admin.Exec(ctx, fmt.Sprintf(`CREATE ROLE %[1]s; GRANT USAGE ON SCHEMA %[2]s TO %[1]s;
		GRANT SELECT, INSERT, UPDATE, DELETE ON headrace_streams, headrace_records, headrace_batches TO %[1]s;
		GRANT SELECT ON headrace_schema TO %[1]s; GRANT USAGE ON ALL SEQUENCES IN SCHEMA %[2]s TO %[1]s`, role, schema)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := admin.Exec(context.Background(), "DROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	pool := configured(t, admin, func(c *pgxpool.Config) {
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SET ROLE "+role)
			return err
		}
	})
	s := newDB(t, pool).Stream("orders")
	send(t, s, "a")
	if got := readAll(t, s, backend.Earliest); fmt.Sprint(got) != "[a]" {
		t.Errorf("read %q", got)
	}
}

// Programs that serve several customers set search_path in each transaction.
func TestSearchPathOfATransactionDoesNotMatter(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	home := pool.Config().ConnConfig.RuntimeParams["search_path"]
	odd := pgx.Identifier{home + ` "odd's" \`}.Sanitize()
	if _, err := pool.Exec(ctx, "CREATE SCHEMA "+odd); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := pool.Exec(context.Background(), "DROP SCHEMA "+odd+" CASCADE"); err != nil {
			t.Error(err)
		}
	})
	elsewhere := configured(t, pool, func(c *pgxpool.Config) {
		c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, "SET search_path = "+odd)
			return err
		}
	})
	here, there := newDB(t, pool).Stream("orders"), newDB(t, elsewhere).Stream("orders")
	send(t, there, "there")
	tx := begin(t, pool)
	if _, err := tx.Exec(ctx, "SET LOCAL search_path = "+odd); err != nil {
		t.Fatal(err)
	}
	if err := here.AppendTx(ctx, tx, rec("here")); err != nil {
		t.Fatal(err)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, here, backend.Earliest); fmt.Sprint(got) != "[here]" {
		t.Errorf("read %q in the schema that Open found", got)
	}
	if got := readAll(t, there, backend.Earliest); fmt.Sprint(got) != "[there]" {
		t.Errorf("read %q in the other schema", got)
	}
}

func TestReadOnlyServerIsTransient(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	s := newDB(t, pool).Stream("orders")
	send(t, s, "a")
	// As after a failover, when a connection ends at the server that only reads now.
	standby := newDB(t, configured(t, pool, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on" }))
	session, err := standby.Stream("orders").NewAppender(backend.Format{}).Open(ctx)
	if err == nil {
		defer session.Close()
		if err = session.Send(ctx, 0, []backend.Record{rec("b")}); err == nil {
			_, err = session.Recv(ctx)
		}
	}
	if !errors.Is(err, backend.ErrTransient) {
		t.Errorf("append to a server that only reads: %v", err)
	}
	if got := readAll(t, standby.Stream("orders"), backend.Earliest); fmt.Sprint(got) != "[a]" {
		t.Errorf("read %q", got)
	}
}

// A dump that is restored into another server has transaction numbers that are ahead of those of that server.
func TestStreamsRestoredIntoAnotherServerGoOn(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	s := newDB(t, pool).Stream("orders")
	send(t, s, "0", "1")
	if _, err := pool.Exec(ctx, `UPDATE headrace_records SET turn = turn + 1000000`); err != nil {
		t.Fatal(err)
	}
	s = newDB(t, pool).Stream("orders")
	send(t, s, "2", "3")
	if got := readAll(t, s, backend.Earliest); fmt.Sprint(got) != "[0 1 2 3]" {
		t.Errorf("read %q", got)
	}
	s = newDB(t, pool).Stream("orders")
	send(t, s, "4")
	if got := readAll(t, s, backend.Last(3)); fmt.Sprint(got) != "[2 3 4]" {
		t.Errorf("read %q", got)
	}
}

// The main paths under the settings that programs and poolers bring.
func TestSettingsOfThePool(t *testing.T) {
	settings := map[string]func(*pgxpool.Config){
		"serializable": func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "serializable" },
		"repeatable": func(c *pgxpool.Config) {
			c.ConnConfig.RuntimeParams["default_transaction_isolation"] = "repeatable read"
		},
	}
	// Poolers that give each transaction another server connection cannot keep prepared statements.
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		settings[mode.String()] = func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode }
	}
	for name, set := range settings {
		t.Run(name, func(t *testing.T) {
			ctx := patience(t)
			pool := configured(t, newPool(t), set)
			errs := make(chan error)
			for range 4 {
				go func() {
					db, err := postgres.Open(ctx, pool)
					if err == nil {
						err = db.Close()
					}
					errs <- err
				}()
			}
			for range 4 {
				if err := <-errs; err != nil {
					t.Error(err)
				}
			}
			useStream(t, newDB(t, pool), pool)
		})
	}
}

func useStream(t *testing.T, db *postgres.DB, pool *pgxpool.Pool) {
	ctx := patience(t)
	s := db.Stream("orders")
	p, err := producer.New(ctx, s, codec.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.EnqueueRecord(ctx, producer.Record[[]byte]{
		Value: []byte{0, 255, '\'', '\\', '"', '{', ','}, Headers: backend.Headers{{Name: "h", Value: []byte{0}}}, Time: time.Unix(1, 1),
	}); err != nil {
		t.Fatal(err)
	}
	if err := p.Send(ctx, nil, []byte("NULL")); err != nil {
		t.Fatal(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return s.AppendTx(ctx, tx, rec("tx")) }); err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, s, backend.Earliest); fmt.Sprintf("%q", got) != `["\x00\xff'\\\"{," "" "NULL" "tx"]` {
		t.Errorf("read %q", got)
	}
	if got := readAll(t, s, backend.AtTime(time.Unix(2, 0))); len(got) != 3 {
		t.Errorf("read %q from a time on", got)
	}
	if err := s.Trim(ctx, backend.Latest); err != nil {
		t.Error(err)
	}
	if err := s.Seal(ctx); err != nil {
		t.Error(err)
	}
	if err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error { return s.AppendTx(ctx, tx, rec("late")) }); !errors.Is(err, backend.ErrStreamClosed) {
		t.Error(err)
	}
	if err := db.Delete(ctx, "orders"); err != nil {
		t.Error(err)
	}
	// Only a look wakes the reader of a missing stream.
	for _, name := range []string{"NULL", `o'd"d{},\ (`} {
		s := db.Stream(name)
		f := follow(t, s, backend.Earliest)
		send(t, s, "first")
		if got, err := f.next(t); err != nil || fmt.Sprint(got) != "[first]" {
			t.Errorf("stream %q: read %q, %v", name, got, err)
		}
	}
}

// The first version of the tables had a row for each batch, with the number of the batch in the key.
func TestTablesOfTheFirstVersionAreMigrated(t *testing.T) {
	ctx := patience(t)
	pool := newPool(t)
	db := newDB(t, pool)
	s := db.Stream("orders")
	const n = slots + 1 // so many batches the first version remembered
	session := resume(t, s, 0)
	for i := range uint64(n) {
		if _, err := appendOne(ctx, session, i, lone(i)); err != nil {
			t.Fatal(err)
		}
	}
	send(t, db.Stream("sealed"), "a", "b")
	if err := db.Stream("sealed").Seal(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Exec(ctx, `ALTER TABLE headrace_batches DROP COLUMN slot, DROP COLUMN sealed;
		INSERT INTO headrace_batches (stream, producer, seq, hash, turn, batch, at, named)
			SELECT stream, producer, 0, hash, turn, batch, at, named FROM headrace_batches WHERE producer = 'name:p' AND seq = 1;
		ALTER TABLE headrace_batches ADD PRIMARY KEY (stream, producer, seq);
		UPDATE headrace_schema SET version = 1 WHERE component = 'streams'`); err != nil {
		t.Fatal(err)
	}
	s = newDB(t, pool).Stream("orders")
	session = resume(t, s, 1)
	for i := range uint64(slots + 5) {
		if _, err := appendOne(ctx, session, i, lone(1+i)); err != nil {
			t.Fatalf("batch %d: %v", 1+i, err)
		}
	}
	if got := readAll(t, s, backend.Earliest); len(got) != n+5 {
		t.Errorf("%d records are stored, want %d", len(got), n+5)
	}
	var rows, sealed int
	if err := pool.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE sealed) FROM headrace_batches`).Scan(&rows, &sealed); err != nil ||
		rows != slots+2 || sealed != 2 {
		t.Errorf("%d rows, %d of a sealed stream, %v; want %d and 2", rows, sealed, err, slots+2)
	}
}
