// Package postgres keeps streams in tables of a PostgreSQL database (12 or later): a backend without another system to run, and an
// outbox for programs that have a database already.
//
// # Delivery
//
//   - Order: a reader sees records by transaction, and within a transaction as they were appended. Appends of one producer keep
//     their order. A reader never passes a transaction that may still commit: it reads only what lies below the oldest transaction
//     that is running in the database. So a transaction that stays open for long holds up all readers, of any table; nothing is lost.
//     [backend.Latest] is behind the last record that is committed: records of an older transaction that still runs are before it.
//   - Duplicates after a lost reply: none. The database remembers the batches of an appender until their acks were returned, so that
//     a resend is acknowledged and not stored again. After a crash of the process a new producer has a new name, so what its caller
//     sends again is stored again.
//   - Durability: an append is committed when it is acknowledged, as durable as synchronous_commit says.
//   - Resume grain: a record. Offsets name the transaction, the append and the record: "<transaction>.<append>.<record>".
//   - Limits: a record of 1 MiB, a batch of 4 MiB or 1,000 records; see [RecordBytes].
//   - End of stream: [Stream.Seal]. Appends fail with [backend.ErrStreamClosed], readers get io.EOF behind the last record.
//
// # Outbox
//
// [Stream.AppendTx] appends in a transaction of the caller's: the records are there if and only if the transaction commits. A
// consumer then moves them to another system, for example with consumer.Pipe.
//
// # Setting up
//
// [Open] makes the tables headrace_streams, headrace_records and headrace_batches in the first schema of search_path, or brings older
// ones up to date. Several processes may open at once. Readers are woken by NOTIFY on the channel headrace, and ask every [Poll] anyway.
package postgres
