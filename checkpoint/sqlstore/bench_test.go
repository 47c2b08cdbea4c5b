package sqlstore_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/headrace/headrace/checkpoint/sqlstore"
)

// SaveTx beside the bare UPDATE of one column, each in a transaction of its own.
func BenchmarkSaveTx(b *testing.B) {
	for _, m := range media {
		b.Run(m.name, func(b *testing.B) {
			db := m.migrated(b)
			s := sqlstore.New(db)
			cp, err := s.Claim(b.Context(), "k")
			if err != nil {
				b.Fatal(err)
			}
			cp.Offset = "12345"
			b.Run("SaveTx", func(b *testing.B) {
				inTransactions(b, db, func(ctx context.Context, tx *sql.Tx) error { return s.SaveTx(ctx, tx, "k", cp) })
			})
			if _, err := db.ExecContext(b.Context(), `CREATE TABLE raw (k TEXT PRIMARY KEY, o TEXT); INSERT INTO raw VALUES ('k', '')`); err != nil {
				b.Fatal(err)
			}
			b.Run("UPDATE", func(b *testing.B) {
				inTransactions(b, db, func(ctx context.Context, tx *sql.Tx) error {
					_, err := tx.ExecContext(ctx, `UPDATE raw SET o = $1 WHERE k = $2`, "12345", "k")
					return err
				})
			})
		})
	}
}

func inTransactions(b *testing.B, db *sql.DB, f func(context.Context, *sql.Tx) error) {
	for b.Loop() {
		tx, err := db.BeginTx(b.Context(), nil)
		if err == nil {
			err = f(b.Context(), tx)
		}
		if err == nil {
			err = tx.Commit()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
