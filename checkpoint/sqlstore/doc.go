// Package sqlstore keeps checkpoints in a table of a SQL database: PostgreSQL or SQLite, through database/sql.
//
// # Delivery
//
// [Store.SaveTx] stores a checkpoint in the caller's own transaction. When the effect of a record is in the same database,
// effect and offset are one commit: after a kill at any point either both are there or neither, and the record is processed
// exactly once.
//
//	tx, err := db.BeginTx(ctx, nil)
//	…
//	_, err = tx.ExecContext(ctx, "UPDATE accounts SET cents = cents + $1 WHERE id = $2", m.Value.Cents, m.Value.Account)
//	…
//	err = store.SaveTx(ctx, tx, "orders/billing", m.Checkpoint())
//	…
//	err = tx.Commit()
//
// A consumer that has been replaced gets [backend.ErrFenced] from SaveTx, and must roll back. While a transaction with SaveTx
// is open, the Claim of another consumer waits for its end, so no effect is committed under an epoch that is over.
//
// Claim and Save are transactions of their own. A failure that may pass wraps [backend.ErrTransient]: a lost connection, a
// server that restarts, a conflict with another transaction, a busy SQLite file. All other promises are those of package
// checkpoint.
//
// # Leases
//
// [Leases] is a Store that also keeps the leases by which the members of a group share streams: see package consumer/group.
// [Leases.Acquire] takes a lease and raises the epoch of the stream's checkpoint in one transaction. The clock of the database
// decides when a lease is over. Renewals need a connection every few seconds, so give the leases a pool of their own, or a pool
// that the handlers' transactions cannot use up. An acquisition waits for open transactions with SaveTx: a process that is suspended
// inside one holds its stream until PostgreSQL ends the transaction, so set idle_in_transaction_session_timeout.
//
// # Setting up
//
// [Migrate] makes the tables headrace_checkpoints, headrace_members and headrace_leases, or brings older ones up to date. Call it at every start: it does nothing
// when nothing is to be done, and several processes may call it at once. The driver is the caller's choice, for example
// github.com/jackc/pgx/v5/stdlib or modernc.org/sqlite. For SQLite set a busy timeout in the DSN, such as
// "file:app.db?_pragma=busy_timeout(5000)&_pragma=journal_mode(wal)&_txlock=immediate".
//
// The column ahead holds bytes that belong to the offset beside it. Who sets stream_offset by hand should set ahead to NULL; a
// consumer ignores an ahead that belongs to another offset.
//
// Keys and offsets are text that people can read in the table: what is not UTF-8, or contains NUL, is [backend.ErrRejected].
package sqlstore
