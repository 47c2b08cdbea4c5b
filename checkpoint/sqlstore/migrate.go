package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/headrace/headrace/internal/backoff"
)

// Migrate makes the tables of this package, or brings the tables up to date. All changes are one transaction, so a
// failure changes nothing. If several processes migrate at the same time, one process does the work. If the schema is newer
// than this package, Migrate returns an error, because an old program could misread the tables. If the tables are up to
// date, Migrate writes nothing, and the program needs no right to make tables.
func Migrate(ctx context.Context, db *sql.DB, d Dialect) (err error) {
	if err := d.check(); err != nil {
		return failed("migrate", "", err)
	}
	conn, err := connect(ctx, db)
	if err != nil {
		return failed("migrate", "", err)
	}
	defer conn.Close()
	// The usual start needs one query and no lock. So the many processes of a program do not wait for each other, and
	// a read-only server is no failure.
	if n, err := version(ctx, conn); err == nil && n == len(d.schema) {
		return nil
	} else if err != nil && !noTable(err) {
		return failed("migrate", "", err)
	}
	// The transaction begins with a statement of the dialect, because database/sql cannot begin IMMEDIATE. A plain
	// transaction of SQLite takes the lock only at its first write, and two processes could both read the old
	// version. All statements therefore run on one connection.
	_, err = conn.ExecContext(ctx, d.begin)
	if err == nil {
		err = migrate(ctx, conn, d)
	}
	if err == nil {
		_, err = conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		// Each of the three may leave a transaction open: the lock may fail behind the BEGIN, and SQLite goes on with a transaction
		// whose COMMIT waited too long for a reader. Without a ROLLBACK the pool would give the open transaction to others. ctx may
		// have ended, and the ROLLBACK must run all the same. The ROLLBACK fails where no transaction is open, which is no error.
		_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		return failed("migrate", "", err)
	}
	return nil
}

// opening is the schedule by which Migrate opens its connection: 100 pauses of 5 to 100 ms, together 5 to 10 s.
var opening = backoff.Policy{Base: 5 * time.Millisecond, Max: 100 * time.Millisecond, Budget: 100}

// connect opens a connection, and tries again while SQLite says that the file is locked. The pragma journal_mode(wal) in the
// DSN runs while a connection is opened. SQLite changes a new file to WAL only while no other connection uses the file, and
// does not wait the busy timeout for that. Without another attempt, one of several processes that start with a new file would fail.
func connect(ctx context.Context, db *sql.DB) (*sql.Conn, error) {
	for failures := 1; ; failures++ {
		conn, err := db.Conn(ctx)
		if err == nil || !busy(err) || failures > opening.Budget || !backoff.Sleep(ctx, opening.Delay(failures, err)) {
			return conn, err
		}
	}
}

func migrate(ctx context.Context, conn *sql.Conn, d Dialect) error {
	if _, err := conn.ExecContext(ctx, `CREATE TABLE IF NOT EXISTS headrace_schema (component TEXT PRIMARY KEY, version BIGINT NOT NULL)`); err != nil {
		return err
	}
	// The version is read again, because another process may have migrated before we got the lock.
	n, err := version(ctx, conn)
	if err == nil && n == 0 {
		_, err = conn.ExecContext(ctx, `INSERT INTO headrace_schema (component, version) VALUES ('sqlstore', 0) ON CONFLICT DO NOTHING`)
	}
	if err != nil {
		return err
	}
	// An old program could misread the tables of a newer one, and overwrite what it does not know.
	if n > len(d.schema) {
		return fmt.Errorf("the schema has version %d, this program knows up to %d: use a newer program", n, len(d.schema))
	}
	for _, m := range d.schema[n:] {
		for _, statement := range m {
			if _, err := conn.ExecContext(ctx, statement); err != nil {
				return err
			}
		}
	}
	_, err = conn.ExecContext(ctx, `UPDATE headrace_schema SET version = $1 WHERE component = 'sqlstore'`, len(d.schema))
	return err
}

// version returns 0 if headrace_schema has no row for this package: package postgres makes the same table.
func version(ctx context.Context, conn *sql.Conn) (n int, err error) {
	err = conn.QueryRowContext(ctx, `SELECT version FROM headrace_schema WHERE component = 'sqlstore'`).Scan(&n)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil
	}
	return n, err
}
