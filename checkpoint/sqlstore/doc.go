// Package sqlstore keeps checkpoints in a table of a SQL database: PostgreSQL or SQLite, through database/sql.
//
// # Delivery
//
// [Store.SaveTx] stores a checkpoint in a transaction of the caller. If the effect of a record is in the same database,
// effect and offset are one commit. After a kill at any point, either both are stored or neither, and the record is
// processed exactly once.
//
//	tx, err := db.BeginTx(ctx, nil)
//	…
//	_, err = tx.ExecContext(ctx, "UPDATE accounts SET cents = cents + $1 WHERE id = $2", m.Value.Cents, m.Value.Account)
//	…
//	err = store.SaveTx(ctx, tx, "orders/billing", m.Checkpoint())
//	…
//	err = tx.Commit()
//
// If another consumer has taken over, SaveTx returns [backend.ErrFenced], and the caller must roll back. While a
// transaction with SaveTx is open, the Claim of another consumer waits for its end. So no effect is committed under an
// old epoch.
//
// Claim and Save are transactions of their own. A transient failure wraps [backend.ErrTransient]: a lost connection, a
// server that restarts, a conflict with another transaction, a busy SQLite file. Package checkpoint documents all other
// promises.
//
// # Leases
//
// [Leases] is a Store that also keeps leases. With leases, the members of a group share streams: see package
// consumer/group. [Leases.Acquire] takes a lease and raises the epoch of the stream's checkpoint in one transaction.
// The clock of the database decides when a lease ends. [Leases.SaveTx] and [SavePgx] save only under a valid lease, so
// no effect is committed with its checkpoint after the time of the lease. Renewals need a connection every few seconds.
// Give the leases their own pool, or a pool that the handlers' transactions cannot use up. An acquisition waits for open
// transactions with SaveTx. If a process is suspended inside a transaction with SaveTx, nobody else gets the stream until
// PostgreSQL ends the transaction, so set idle_in_transaction_session_timeout.
//
// # Setting up
//
// [Migrate] makes the tables headrace_checkpoints, headrace_members and headrace_leases, or brings older tables up to
// date. Call Migrate at every start: Migrate changes nothing if the tables are up to date, and several processes may call
// Migrate at the same time. The driver is the caller's choice, for example
// github.com/jackc/pgx/v5/stdlib or modernc.org/sqlite. For SQLite set a busy timeout in the DSN, such as
// "file:app.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_txlock=immediate".
//
// The column ahead holds bytes that belong to the offset in the same row. If you set stream_offset by hand, set ahead
// to NULL. A consumer ignores an ahead that belongs to another offset.
//
// Keys and offsets are text, so that people can read them in the table. Keys and offsets that are not UTF-8, or contain
// NUL, are [backend.ErrRejected].
package sqlstore
