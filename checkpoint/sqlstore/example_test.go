package sqlstore_test

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/headrace/headrace/backend/memory"
	"github.com/headrace/headrace/checkpoint/sqlstore"
	"github.com/headrace/headrace/codec"
	"github.com/headrace/headrace/consumer"
	"github.com/headrace/headrace/producer"
)

// The effect of a record and the place behind it are one commit, so each payment counts once, however often the process is
// killed.
func ExampleStore_SaveTx() {
	if err := payments(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// total: 2499 cents, next is record 2
}

func payments(ctx context.Context) error {
	db, err := sql.Open("sqlite", "file:payments?mode=memory&cache=shared")
	if err != nil {
		return err
	}
	defer db.Close()
	if err := sqlstore.Migrate(ctx, db, sqlstore.SQLite); err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE totals (cents BIGINT); INSERT INTO totals VALUES (0)"); err != nil {
		return err
	}
	stream := memory.New()
	p, err := producer.New(ctx, stream, codec.JSON[int]())
	if err != nil {
		return err
	}
	if err := p.Send(ctx, 1999, 500); err != nil {
		return err
	}
	if err := p.Close(); err != nil {
		return err
	}

	store := sqlstore.New(db)
	c, err := consumer.New(stream, codec.JSON[int](), consumer.Checkpoint(store, "payments/totals"), consumer.StopAtTail())
	if err != nil {
		return err
	}
	for m, err := range c.Messages(ctx) {
		if err != nil {
			return err
		}
		if err := add(ctx, db, store, m); err != nil {
			return err
		}
	}
	var cents int
	if err := db.QueryRowContext(ctx, "SELECT cents FROM totals").Scan(&cents); err != nil {
		return err
	}
	cp, err := store.Load(ctx, "payments/totals")
	if err != nil {
		return err
	}
	fmt.Printf("total: %d cents, next is record %.1s\n", cents, cp.Offset)
	return nil
}

func add(ctx context.Context, db *sql.DB, store *sqlstore.Store, m consumer.Message[int]) error {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing behind a commit
	if _, err := tx.ExecContext(ctx, "UPDATE totals SET cents = cents + $1", m.Value); err != nil {
		return err
	}
	if err := store.SaveTx(ctx, tx, "payments/totals", m.Checkpoint()); err != nil {
		return err
	}
	return tx.Commit()
}
