// Package postgres keeps streams in tables of a PostgreSQL database (12 or later): a backend without another system to run, and an
// outbox for programs that have a database already.
//
// # Delivery
//
//   - Order: a record is behind all records that were committed before it was appended. So appends of one producer keep their order, and
//     so do the events of a row that is changed by several transactions, if each transaction calls [Stream.AppendTx] behind its change.
//     Transactions that do not touch the same rows may come in another order than they were committed in.
//   - A reader never passes a transaction that may still commit: it reads only what no running transaction can come before. So a
//     transaction that has written and stays open holds up all readers, of any table, in any database of the server; nothing is lost. A
//     transaction that only reads holds up nobody. [backend.Latest] is behind the last record that is committed: records of an older
//     transaction that still runs are before it.
//   - Duplicates after a lost reply: none. The database remembers the batches of an appender until their acks were returned, so that
//     a resend is acknowledged and not stored again. It forgets a producer that has been silent for 7 days. After a crash of the process
//     a new producer has a new name, so what its caller sends again is stored again. An appender of [Stream.Resume] keeps its name over
//     processes, and the database remembers it for ever.
//   - Durability: an append is committed when it is acknowledged, as durable as synchronous_commit says.
//   - Resume grain: a record. Offsets name the turn, the append and the record: "<turn>.<append>.<record>".
//   - Limits: a record of 1 MiB, a batch of 4 MiB or 1,000 records; see [RecordBytes].
//   - End of stream: [Stream.Seal]. Appends fail with [backend.ErrStreamClosed], readers get io.EOF behind the last record.
//   - What may pass is [backend.ErrTransient]: a lost connection, a restart, a failover to a server that still only reads, a conflict of
//     transactions, a timeout of a statement or a lock.
//
// # Outbox
//
// [Stream.AppendTx] appends in a transaction of the caller's: the records are there if and only if the transaction commits. Package
// outbox puts typed values, and package relay moves the records to another system, each exactly once.
//
// # Setting up
//
// [Open] makes the tables headrace_schema, headrace_streams, headrace_records and headrace_batches in the first schema of search_path, or
// brings older ones up to date. Several processes may open at once. Where the tables are up to date, a program needs only the rights to
// SELECT, INSERT, UPDATE and DELETE in them, to SELECT in headrace_schema and to use the sequence headrace_batch_no. A standby can be read.
//
// After a dump was restored into another server, call [Open] before anything is appended: it lets the order of the records go on where
// the old server ended.
//
// Readers are woken by NOTIFY on the channel headrace, and ask every [Poll] anyway. One connection listens, beside those of the pool.
// PostgreSQL commits transactions that notify one behind the other. Behind a pooler that gives each transaction another connection, such
// as PgBouncer, no notification arrives: set a short [Poll], and pgx.QueryExecModeExec where the pooler cannot keep prepared statements.
package postgres
