package sqlstore_test

import (
	"context"
	"database/sql"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/headrace/headrace/backend"
	"github.com/headrace/headrace/checkpoint"
	"github.com/headrace/headrace/checkpoint/sqlstore"
)

// A program has a schema for each customer, with the same tables, keys and epochs in each. A transaction that works in the schema
// of a customer saves in the table that the store has claimed in.
func TestSearchPathOfATransactionDoesNotMatter(t *testing.T) {
	db, dsn := openPostgres(t)
	customer, _ := openPostgres(t)
	for _, d := range []*sql.DB{db, customer} {
		if err := sqlstore.Migrate(t.Context(), d, sqlstore.PostgreSQL); err != nil {
			t.Fatal(err)
		}
	}
	var elsewhere string
	if err := customer.QueryRowContext(t.Context(), "SHOW search_path").Scan(&elsewhere); err != nil {
		t.Fatal(err)
	}
	store, leases := sqlstore.New(db), sqlstore.NewLeases(db, sqlstore.PostgreSQL)
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())

	inTx := func(save func(tx *sql.Tx) error) error {
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			return err
		}
		defer tx.Rollback()
		if _, err := tx.ExecContext(t.Context(), "SET LOCAL search_path = "+elsewhere); err != nil {
			return err
		}
		if err := save(tx); err != nil {
			return err
		}
		return tx.Commit()
	}
	claim := func(key string) (checkpoint.Checkpoint, error) { return store.Claim(t.Context(), key) }
	for _, c := range []struct {
		name, key string
		claim     func(key string) (checkpoint.Checkpoint, error)
		save      func(key string, cp checkpoint.Checkpoint) error
	}{
		{"SaveTx", "plain", claim, func(key string, cp checkpoint.Checkpoint) error {
			return inTx(func(tx *sql.Tx) error { return store.SaveTx(t.Context(), tx, key, cp) })
		}},
		{"SaveTx of Leases", "stream/group", func(string) (checkpoint.Checkpoint, error) {
			cp, _, err := leases.Acquire(t.Context(), "group", "member", "stream", time.Hour)
			return cp, err
		}, func(key string, cp checkpoint.Checkpoint) error {
			return inTx(func(tx *sql.Tx) error { return leases.SaveTx(t.Context(), tx, key, cp) })
		}},
		{"SavePgx", "pgx", claim, func(key string, cp checkpoint.Checkpoint) error {
			return pgx.BeginFunc(t.Context(), conn, func(tx pgx.Tx) error {
				if _, err := tx.Exec(t.Context(), "SET LOCAL search_path = "+elsewhere); err != nil {
					return err
				}
				return sqlstore.SavePgx(t.Context(), store, tx, key, cp)
			})
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cp, err := c.claim(c.key)
			if err != nil {
				t.Fatal(err)
			}
			other, err := sqlstore.New(customer).Claim(t.Context(), c.key)
			if err != nil || other.Epoch != cp.Epoch {
				t.Fatalf("epochs %d and %d, want the same; %v", cp.Epoch, other.Epoch, err)
			}
			cp.Offset = "7"
			if err := c.save(c.key, cp); err != nil {
				t.Error(err)
			}
			for _, at := range []struct {
				db   *sql.DB
				want backend.Offset
			}{{db, "7"}, {customer, ""}} {
				if got, err := sqlstore.New(at.db).Load(t.Context(), c.key); err != nil || got.Offset != at.want {
					t.Errorf("offset %q, want %q; %v", got.Offset, at.want, err)
				}
			}
		})
	}
}
