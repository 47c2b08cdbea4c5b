package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
)

// A DB is a database with any number of streams. It is safe for use from many goroutines; several programs may use the same tables.
type DB struct {
	pool     *pgxpool.Pool
	cfg      config
	listener *listener
}

type config struct {
	poll        time.Duration
	recordBytes int
	inFlight    int
}

// An Option is an option of [Open].
type Option func(*config)

// Poll is how often a reader at the tail asks for records that no notification has told of. Default 1 s, at least 1 ms. While an older
// transaction is running, a reader asks every 20 ms, because the end of that transaction is told by no notification.
func Poll(d time.Duration) Option { return func(c *config) { c.poll = max(d, time.Millisecond) } }

// RecordBytes is the largest record, value and headers together. Default 1 MiB, at least 1.
func RecordBytes(n int) Option { return func(c *config) { c.recordBytes = max(n, 1) } }

// Open makes the tables where they are missing. The pool stays the caller's to close, after [DB.Close].
func Open(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (*DB, error) {
	if pool == nil {
		return nil, errors.New("postgres: open: the pool is nil")
	}
	c := config{poll: time.Second, recordBytes: 1 << 20, inFlight: 16}
	for _, o := range opts {
		o(&c)
	}
	if err := migrate(ctx, pool); err != nil {
		return nil, fmt.Errorf("postgres: open: migrate: %w", classify(ctx, err))
	}
	return &DB{pool: pool, cfg: c, listener: newListener(pool)}, nil
}

// Close ends the listening for notifications. Readers that are open go on by [Poll].
func (d *DB) Close() error {
	d.listener.close()
	return nil
}

// migrations bring the schema from the version of their index to the next.
var migrations = []string{`
	CREATE TABLE headrace_streams (
		id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
		name TEXT NOT NULL UNIQUE,
		content_type TEXT NOT NULL DEFAULT '',
		sealed BOOLEAN NOT NULL DEFAULT FALSE,
		trim_tx BIGINT NOT NULL DEFAULT 0, trim_batch BIGINT NOT NULL DEFAULT 0, trim_no INT NOT NULL DEFAULT 0
	);
	CREATE SEQUENCE headrace_batch_no;
	CREATE TABLE headrace_records (
		stream BIGINT NOT NULL, tx BIGINT NOT NULL, batch BIGINT NOT NULL, no INT NOT NULL,
		value BYTEA NOT NULL, headers BYTEA, at BIGINT NOT NULL,
		PRIMARY KEY (stream, tx, batch, no)
	);
	CREATE TABLE headrace_batches (
		producer TEXT NOT NULL, seq BIGINT NOT NULL, hash BYTEA NOT NULL, tx BIGINT NOT NULL, batch BIGINT NOT NULL, n INT NOT NULL,
		PRIMARY KEY (producer, seq)
	);
`}

// migrate runs under a lock, because CREATE TABLE IF NOT EXISTS of two sessions at once may fail for one of them.
func migrate(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock(7522535908310049637)`); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `CREATE TABLE IF NOT EXISTS headrace_schema (component TEXT PRIMARY KEY, version BIGINT NOT NULL)`); err != nil {
			return err
		}
		var version int
		err := tx.QueryRow(ctx, `INSERT INTO headrace_schema (component, version) VALUES ('streams', 0)
			ON CONFLICT (component) DO UPDATE SET component = excluded.component RETURNING version`).Scan(&version)
		if err != nil {
			return err
		}
		if version > len(migrations) {
			return fmt.Errorf("the schema has version %d, this program knows up to %d: use a newer program", version, len(migrations))
		}
		for _, m := range migrations[version:] {
			if _, err := tx.Exec(ctx, m); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, `UPDATE headrace_schema SET version = $1 WHERE component = 'streams'`, len(migrations))
		return err
	})
}

// Delete removes a stream with all its records. The name may be used again at once; places of the deleted stream are
// [backend.ErrOutOfRange] in the new one. No such stream: [backend.ErrNotFound].
func (d *DB) Delete(ctx context.Context, name string) error {
	err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
		var id int64
		if err := tx.QueryRow(ctx, `DELETE FROM headrace_streams WHERE name = $1 RETURNING id`, name).Scan(&id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `DELETE FROM headrace_records WHERE stream = $1`, id)
		return err
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return fmt.Errorf("postgres: delete stream %q: %w", name, backend.ErrNotFound)
	}
	if err != nil {
		return fmt.Errorf("postgres: delete stream %q: %w", name, classify(ctx, err))
	}
	return nil
}
