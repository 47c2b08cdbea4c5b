// Package postgres keeps streams in tables of a PostgreSQL database (13 or later). It is a backend for programs that
// have a database and want no other system. With the same tables it is an outbox.
//
// # Delivery
//
//   - Order: a record is behind all records that were committed before its append. So the appends of one producer keep
//     their order. If several transactions change the same row, and each calls [Stream.AppendTx] after its change, the
//     records have the order of the changes. Transactions that do not touch the same rows may appear in another order
//     than the order of their commits.
//   - A reader never passes a running transaction: the reader reads a record only when no running transaction can still
//     commit records in front of the record. So an open transaction with a change holds up all readers, whatever table
//     or database of the server the transaction has changed. Nothing is lost. A transaction that only reads holds up
//     nobody. [backend.Latest] is behind the last committed record; records of older running transactions will be
//     before this place.
//   - A reader fetches one page of records ahead of its caller, 4,000 records or about 1 MiB. So the reader may return
//     a page of a stream that was trimmed or deleted meanwhile. The reader holds a connection of the pool only during a
//     query.
//   - Duplicates after a lost reply: none. The database remembers the batches of an appender until their acks were
//     returned. So the database acknowledges a resend, and does not store the records again. The database forgets a
//     producer after 7 silent days. After a crash of the process, a new producer has a new name, and records sent again
//     are stored again. An appender of [Stream.Resume] keeps its name in all processes, and the database remembers the
//     name for ever.
//   - Durability: an acknowledged append is committed, and as durable as synchronous_commit says.
//   - Resume grain: a record. An offset consists of the turn, the append and the record: "<turn>.<append>.<record>".
//   - Limits: a record of 1 MiB, a batch of 4 MiB or 1,000 records; see [RecordBytes].
//   - End of stream: [Stream.Seal]. Afterwards appends fail with [backend.ErrStreamClosed], and readers get io.EOF
//     behind the last record.
//   - Transient failures wrap [backend.ErrTransient]: a lost connection, a restart, a failover to a read-only server, a
//     conflict of transactions, a timeout of a statement or a lock.
//
// # Outbox
//
// [Stream.AppendTx] appends in a transaction of the caller: the records are stored if and only if the transaction
// commits. Package outbox appends typed values, and package relay copies the records to another system, each exactly
// once.
//
// # Setting up
//
// [Open] makes the tables headrace_schema, headrace_streams, headrace_records and headrace_batches in the first schema
// of search_path, or brings older tables up to date. Several processes may call Open at the same time. If the tables
// are up to date, a program needs only these rights: SELECT, INSERT, UPDATE and DELETE in the tables, SELECT in
// headrace_schema, and the use of the sequence headrace_batch_no. A standby can be read.
//
// After restoring a dump into another server, call [Open] before anything is appended. Open makes the new server
// continue the order of the records where the old server has ended.
//
// NOTIFY on the channel headrace wakes readers. One connection listens, in addition to the connections of the pool. What
// no notification reports, a query finds: every [Poll], one query asks for all waiting readers of a [DB] together. A waiting
// reader holds no connection, and the reader of an idle consumer has no goroutine and no timer ([backend.Notifier]). So a
// process may have thousands of idle consumers.
//
// PostgreSQL commits transactions with a NOTIFY one after another, so an append sends a NOTIFY only while somebody
// listens: the listening connection holds the advisory lock 7522535908310049638, shared, and each append looks whether the
// lock is free. Behind a pooler such as PgBouncer, with another connection for each transaction, no notification arrives.
// Then set a short [Poll], and use pgx.QueryExecModeExec if the pooler does not support prepared statements.
//
// # Speed
//
// An append of one record is one statement and one round trip. The statement stores the record, and changes the row that
// recognizes a resend. Such a row is a slot of the producer: the producer uses 32 slots in turn, so the table
// headrace_batches does not grow with the appends. A reader fetches its pages in the binary format, and takes back the
// slices of the records: see [backend.Batch.Free].
package postgres
