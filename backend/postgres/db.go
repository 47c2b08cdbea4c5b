package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/headrace/headrace/backend"
)

// A DB is a database with any number of streams. Many goroutines may use it, and several programs may use the same
// tables.
type DB struct {
	pool     *pgxpool.Pool
	cfg      config
	tables   *tables
	board    *board    // of all readers of this DB: one query in each Poll, however many streams are read
	listener *listener // one connection, too
}

// Open makes missing tables in the first schema of search_path, and remembers the schema. If the tables are up to date,
// Open writes nothing, and the program needs no right to make tables. The caller closes the pool, after [DB.Close].
func Open(ctx context.Context, pool *pgxpool.Pool, opts ...Option) (*DB, error) {
	c, err := complete(opts)
	if err == nil && pool == nil {
		err = errors.New("the pool is nil")
	}
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", err)
	}
	t, err := setUp(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("postgres: open: %w", classify(ctx, err))
	}
	d := &DB{pool: pool, cfg: c, tables: t}
	d.board = newBoard(c.poll, d.look)
	d.listener = &listener{pool: pool, board: d.board}
	return d, nil
}

// Close stops listening for notifications. Open readers go on, and learn of new records every [Poll].
func (d *DB) Close() error {
	d.listener.close()
	return nil
}

// Streams returns the names of the streams that exist, sorted by their bytes. It may be the list of group.Discover.
func (d *DB) Streams(ctx context.Context) ([]string, error) {
	rows, err := d.pool.Query(ctx, d.tables.sql(namesSQL))
	var names []string
	if err == nil {
		names, err = pgx.CollectRows(rows, pgx.RowTo[string])
	}
	if err != nil {
		return nil, fmt.Errorf("postgres: list streams: %w", classify(ctx, err))
	}
	return names, nil
}

// Delete removes a stream with all its records. The name may be used again at once. In the new stream, places of the
// deleted stream are [backend.ErrOutOfRange]. If the stream does not exist, the error is [backend.ErrNotFound].
func (d *DB) Delete(ctx context.Context, name string) error {
	s := d.Stream(name)
	if err := s.check(); err != nil {
		return s.failed("delete", err)
	}
	err := d.transact(ctx, func(tx pgx.Tx) error {
		var id int64
		// The lock waits for transactions that have appended. Otherwise the records of such a transaction would be
		// committed after our DELETE, and would stay in the table for ever, because no stream has their number.
		if err := tx.QueryRow(ctx, d.tables.sql(lockStreamSQL), name).Scan(&id); err != nil {
			return err
		}
		// One transaction deletes all. After a crash in between, records without a stream would stay for ever.
		for _, statement := range []string{deleteStreamSQL, deleteBatchesSQL, deleteRecordsSQL} {
			if _, err := tx.Exec(ctx, d.tables.sql(statement), id); err != nil {
				return err
			}
		}
		return nil
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return s.failed("delete", backend.ErrNotFound)
	}
	if err != nil {
		return s.failed("delete", classify(ctx, err))
	}
	return nil
}

// transact runs f in a transaction at READ COMMITTED, whatever the default of the database is: each statement sees
// everything that was committed before the statement. After waiting for a lock, an older snapshot would not show the
// changes of the lock's last holder.
func (d *DB) transact(ctx context.Context, f func(pgx.Tx) error) error {
	return transact(ctx, d.pool, f)
}

func transact(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, f)
}
