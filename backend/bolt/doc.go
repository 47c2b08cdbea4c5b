// Package bolt keeps streams in one file with bbolt. The streams are durable and embedded, and need only a directory.
//
// # Delivery
//
//   - Order: one order for all producers of a stream, whole batches, sequence numbers without a gap.
//   - Durability: an acknowledged batch was synced to disk and survives a crash of the process and of the machine.
//     Readers see only durable records.
//   - Duplicates after a lost reply: none from one producer. For the life of the appender, the stream recognizes a
//     resend by its seq, compares the records with the stored records, and acknowledges the resend without storing the
//     records again. After a crash, the first of the unacknowledged batches may be stored, or all of these batches. A
//     new producer that sends these batches again stores them twice. An appender of [Stream.Resume] recognizes stored
//     batches, also in another process, if nobody else writes to the stream.
//   - Resume grain: every record. Every portable start is supported. An offset is a sequence number in decimal and the
//     random name of the stream, such as 17@dGVzdGluZzE. An offset of an earlier stream of the same name, deleted or in
//     another file, is [backend.ErrOutOfRange]. A bare number is a place in any stream: earlier versions wrote offsets
//     without a name. A stream of an earlier version gets its random name with its next append.
//   - Limits: 10,000 records and 4 MiB in a batch, 4 MiB in a record, 16 batches in flight; an option sets each. A
//     record counts its value, header names and header values.
//   - Times: kept to the nanosecond in UTC. A record without a time gets the time at which its batch is taken.
//   - End of stream: [Stream.Seal].
//   - Trim: [Stream.Trim]. A reader or an offset before the trimmed place is [backend.ErrOutOfRange].
//
// # Commits
//
// One goroutine writes to the file. While one commit waits for the disk, the goroutine collects the new batches of all
// producers of all streams, and the next commit carries all of these batches. So batches that arrive together share an
// fsync, and no batch waits for later batches.
//
// A commit that fails before its last step, for example on a full disk, has stored nothing. Sessions end with
// [backend.ErrTransient] and the cause, acknowledged records stay readable, and sending again is safe. The last step is
// the sync of the page with the reference to the new data. When the last step fails, the outcome is unknown: sessions
// end with [backend.ErrIndeterminate], nothing more is written, and the file must be opened again. If a stored block
// does not match its checksum, readers get an error with the file, the stream and the seq; [Stream.Trim] can remove the
// block.
//
// # The file
//
// Only one process has the file open; a second process gets [ErrInUse] within a second. The file never shrinks: later
// appends use the space of trimmed records. You may keep other data in the same file, see [DB.Bolt].
//
// Open refuses a file that was cut short, even to length 0, with [ErrDamaged]. A new file appears as a whole, so a
// crash never leaves an empty file. A reader or an append that finds a damaged page fails with [ErrDamaged]; after such
// an append, nothing more is written to the file. bbolt does not notice two kinds of damage, and the process then stops
// or ends: a branch page that leads back to itself, and a far too large count of overflow pages.
//
// Records are stored in blocks of about 8 KiB. Larger records cost more than their size, because bbolt rewrites up to
// four values with an append. So records of 64 KiB and more, sent one by one, are written to disk four to five times.
//
// A reader returns copies that belong to the caller. The records of one batch share one piece of memory: if you keep
// one record, you keep up to 1 MiB of its neighbours in memory too.
package bolt
