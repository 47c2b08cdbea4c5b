// Exactlyonce adds up payments in a SQL database, each exactly once, even if the program is killed many times. The sum
// and the place in the stream are one commit (sqlstore.SaveTx). So after a kill at any moment either both are stored or
// neither. Run the program, kill the program, and run the program again: the program goes on, and at the end compares
// the sum with the payments.
//
// The database is a SQLite file, or PostgreSQL if -postgres gives a DSN.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/backend/bolt"
	"github.com/headrace/headrace/checkpoint/sqlstore"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

const key = "payments/totals"

func main() {
	log.SetFlags(0)
	dir := flag.String("dir", "exactlyonce-data", "where the data lies")
	dsn := flag.String("postgres", "", "the DSN of a PostgreSQL database to use instead of SQLite")
	n := flag.Int("payments", 2000, "how many payments the stream has; those missing are written first")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *dsn, *n); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir, dsn string, n int) (err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	streams, err := bolt.Open(filepath.Join(dir, "streams.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, streams.Close()) }()
	payments := streams.Stream("payments")
	if err := fill(ctx, payments, n); err != nil {
		return err
	}
	db, err := open(ctx, filepath.Join(dir, "totals.db"), dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := add(ctx, payments, db); err != nil {
		return err
	}
	return check(ctx, db, n)
}

// fill appends the missing payments: 1, 2, 3, … cents. The last payment in the stream shows how many there are.
func fill(ctx context.Context, s *bolt.Stream, n int) error {
	c, err := consumer.New(s, codec.JSON[int](), consumer.StartAt(backend.Last(1)), consumer.StopAtTail())
	if err != nil {
		return err
	}
	have := 0
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		have = m.Value
	}
	if have >= n {
		return nil
	}
	p, err := producer.New(ctx, s, codec.JSON[int]())
	if err != nil {
		return err
	}
	for i := have; i < n; i++ {
		if _, err := p.Enqueue(ctx, i+1); err != nil {
			return errors.Join(err, p.Close())
		}
	}
	return p.Close()
}

func open(ctx context.Context, file, dsn string) (*sql.DB, error) {
	driver, dialect := "pgx", sqlstore.PostgreSQL
	if dsn == "" {
		driver, dialect = "sqlite", sqlstore.SQLite
		dsn = "file:" + file + "?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_txlock=immediate"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	err = sqlstore.Migrate(ctx, db, dialect)
	for _, q := range []string{
		"CREATE TABLE IF NOT EXISTS totals (id INTEGER PRIMARY KEY, payments BIGINT NOT NULL, cents BIGINT NOT NULL)",
		"INSERT INTO totals VALUES (1, 0, 0) ON CONFLICT DO NOTHING",
	} {
		if err == nil {
			_, err = db.ExecContext(ctx, q)
		}
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func add(ctx context.Context, payments *bolt.Stream, db *sql.DB) error {
	store := sqlstore.New(db)
	c, err := consumer.New(payments, codec.JSON[int](), consumer.Checkpoint(store, key), consumer.StopAtTail(), consumer.BatchRecords(100))
	if err != nil {
		return err
	}
	for batch, err := range c.Batches(ctx) {
		if err != nil {
			return err
		}
		if err := addAll(ctx, db, store, batch); err != nil {
			return err
		}
	}
	return nil
}

// addAll commits the payments together with the place behind the last payment. A kill stores both or neither.
func addAll(ctx context.Context, db *sql.DB, store *sqlstore.Store, batch []consumer.Message[int]) error {
	cents := 0
	for _, m := range batch {
		cents += m.Value
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after a commit
	if _, err := tx.ExecContext(ctx, "UPDATE totals SET payments = payments + $1, cents = cents + $2", len(batch), cents); err != nil {
		return err
	}
	if err := store.SaveTx(ctx, tx, key, batch[len(batch)-1].Checkpoint()); err != nil {
		return err
	}
	return tx.Commit()
}

func check(ctx context.Context, db *sql.DB, n int) error {
	var payments, cents int
	if err := db.QueryRowContext(ctx, "SELECT payments, cents FROM totals").Scan(&payments, &cents); err != nil {
		return err
	}
	if payments != n || cents != n*(n+1)/2 {
		return fmt.Errorf("%d payments of %d cents were added, want %d of %d", payments, cents, n, n*(n+1)/2)
	}
	fmt.Printf("%d payments were added, each once: %d cents\n", payments, cents)
	return nil
}
