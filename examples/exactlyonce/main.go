// Exactlyonce adds up payments in a SQLite database, each exactly once, however often it is killed. The sum and the place in the
// stream are one commit (sqlstore.SaveTx), so after a kill at any moment either both are there or neither. Run it, kill it, and run
// it again: it goes on, and in the end it compares the sum with the input.
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

	_ "modernc.org/sqlite"

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
	n := flag.Int("payments", 2000, "how many payments the stream has; those missing are written first")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *dir, *n); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, dir string, n int) (err error) {
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
	db, err := open(ctx, filepath.Join(dir, "totals.db"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := add(ctx, payments, db); err != nil {
		return err
	}
	return check(ctx, db, n)
}

// fill appends the payments that are missing: 1, 2, 3, … cents.
func fill(ctx context.Context, s *bolt.Stream, n int) error {
	c, err := consumer.New(s, codec.JSON[int](), consumer.StopAtTail())
	if err != nil {
		return err
	}
	have := 0
	for _, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		have++
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

func open(ctx context.Context, file string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", "file:"+file+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	err = sqlstore.Migrate(ctx, db, sqlstore.SQLite)
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
	c, err := consumer.New(payments, codec.JSON[int](), consumer.Checkpoint(store, key), consumer.StopAtTail())
	if err != nil {
		return err
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		if err := addOne(ctx, db, store, m); err != nil {
			return err
		}
	}
	return nil
}

// addOne commits the payment and the place behind it, or neither.
func addOne(ctx context.Context, db *sql.DB, store *sqlstore.Store, m consumer.Message[int]) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing behind a commit
	if _, err := tx.ExecContext(ctx, "UPDATE totals SET payments = payments + 1, cents = cents + $1", m.Value); err != nil {
		return err
	}
	if err := store.SaveTx(ctx, tx, key, m.Checkpoint()); err != nil {
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
