package sqlstore

import (
	"context"

	"github.com/headrace/headrace/checkpoint"
)

// A PgxTx is the part of pgx.Tx that SavePgx needs. R is pgconn.CommandTag, and W is pgx.Row. Go infers both.
type PgxTx[R interface{ RowsAffected() int64 }, W interface{ Scan(...any) error }] interface {
	Exec(ctx context.Context, sql string, args ...any) (R, error)
	QueryRow(ctx context.Context, sql string, args ...any) W
}

// epochSQL has an aggregate, so it returns a row even if the key has none. Otherwise this package would have to know
// the error of pgx for a missing row.
const epochSQL = `SELECT COALESCE(MAX(epoch), 0) FROM headrace_checkpoints WHERE checkpoint_key = $1`

// SavePgx is [Store.SaveTx] of s for a transaction of package pgx, for programs whose other statements use pgx without
// database/sql. The type parameters spare this package an import of pgx. Under a key of a group, SavePgx saves only while
// the lease is valid, as [Leases.SaveTx] does.
func SavePgx[R interface{ RowsAffected() int64 }, W interface{ Scan(...any) error }](ctx context.Context, s *Store, tx PgxTx[R, W], key string, cp checkpoint.Checkpoint) error {
	if err := begin(ctx, checkSave(key, cp)); err != nil {
		return failed("save", key, err)
	}
	// A Store without leases saves with the same statement. A key that is not of a group has no row in
	// headrace_leases, so the condition on the lease holds.
	res, err := tx.Exec(ctx, s.sql(PostgreSQL.leaseSQL.saveSQL), saveArgs(key, cp)...)
	if err != nil {
		return failed("save", key, err)
	}
	if res.RowsAffected() == 0 {
		var epoch int64
		if err := tx.QueryRow(ctx, s.sql(epochSQL), key).Scan(&epoch); err != nil {
			return failed("save", key, err)
		}
		return failed("save", key, notSaved(checkpoint.Checkpoint{Epoch: uint64(epoch)}, cp))
	}
	return nil
}
