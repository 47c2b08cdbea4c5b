package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// setUp finds the tables. setUp makes or changes tables only if necessary, because the program may have no right to
// make tables, and a read-only server refuses the change.
func setUp(ctx context.Context, pool *pgxpool.Pool) (*tables, error) {
	// Most programs find the tables of their version and are ready after these few queries.
	if t, ok, err := find(ctx, pool); ok || err != nil {
		return t, err
	}
	if err := transact(ctx, pool, func(tx pgx.Tx) error { return migrate(ctx, tx) }); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	// If the connections of the pool have different settings of search_path, this connection may not see the tables that
	// another connection has just made. The program must learn that now, and not after its next start.
	t, ok, err := find(ctx, pool)
	if err == nil && !ok {
		err = errors.New("the tables are not there after they were made: search_path of the pool's connections differs")
	}
	return t, err
}

// A querier is a pool or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// find returns the tables, and whether they are ready for use.
func find(ctx context.Context, q querier) (t *tables, ready bool, err error) {
	// to_regclass follows search_path, as the statements of a program do. The schema that is found here is in front of each
	// table in all later statements.
	var schema string
	err = q.QueryRow(ctx, `SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.oid = to_regclass('headrace_schema')`).Scan(&schema)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, err
	}
	t = tablesIn(schema)
	// version returns an error for tables of a newer program. Tables of an older version are not ready, and neither are
	// tables that were restored into a server with lower transaction numbers: see catchUp.
	version, err := t.version(ctx, q)
	if err != nil || version < len(migrations) {
		return t, false, err
	}
	behind, err := t.behind(ctx, q)
	return t, behind <= 0, err
}

// version returns the version of the tables. version returns 0 if headrace_schema exists without a version for streams:
// package sqlstore makes the same table.
func (t *tables) version(ctx context.Context, q querier) (version int, err error) {
	err = q.QueryRow(ctx, t.sql(versionSQL)).Scan(&version)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err == nil && version > len(migrations) {
		err = fmt.Errorf("the schema has version %d, this program knows up to %d: use a newer program", version, len(migrations))
	}
	return version, err
}

// behind returns by how much the transaction numbers of the server are behind the turns in the tables. The result is above
// 0 only if the tables come from another server.
func (t *tables) behind(ctx context.Context, q querier) (n int64, err error) {
	err = q.QueryRow(ctx, t.sql(behindSQL)).Scan(&n)
	return n, err
}

// migrate makes the tables or brings them up to date. migrate runs under a lock: if two sessions run CREATE TABLE IF
// NOT EXISTS at the same time, one session may fail.
func migrate(ctx context.Context, tx pgx.Tx) error {
	for _, statement := range []string{
		// Package sqlstore takes the same lock, because both packages make headrace_schema.
		`SELECT pg_advisory_xact_lock(7522535908310049637)`,
		`CREATE TABLE IF NOT EXISTS headrace_schema (component TEXT PRIMARY KEY, version BIGINT NOT NULL)`,
	} {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return err
		}
	}
	// We look again under the lock: another process may have made the tables while we waited.
	t, ready, err := find(ctx, tx)
	if ready || err != nil {
		return err
	}
	version, err := t.version(ctx, tx)
	if err != nil {
		return err
	}
	// All migrations and the new version are one transaction. A process that is killed in between leaves the tables as they
	// were, and the next Open begins again.
	if _, err := tx.Exec(ctx, t.sql(startSQL)); err != nil {
		return err
	}
	for _, m := range migrations[version:] {
		if _, err := tx.Exec(ctx, t.sql(m)); err != nil {
			return err
		}
	}
	if _, err := tx.Exec(ctx, t.sql(migratedSQL), len(migrations)); err != nil {
		return err
	}
	return t.catchUp(ctx, tx)
}

// catchUp raises the turns of this server above the turns in the tables. Without catchUp, new records of a restored
// database would be in front of the old records, and no reader would find the new records.
func (t *tables) catchUp(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, t.sql(lockSQL)); err != nil { // wait for appends with the old base, and make later appends wait for us
		return err
	}
	n, err := t.behind(ctx, tx)
	if err != nil || n <= 0 {
		return err
	}
	// The base only grows. If the base became smaller, new records would be in front of old ones.
	_, err = tx.Exec(ctx, t.sql(raiseSQL), n)
	return err
}
