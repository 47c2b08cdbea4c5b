// Package bolt keeps streams in one file with bbolt. The streams are durable and embedded, and need only a directory.
//
// # Delivery
//
//   - Order: one order for all producers of a stream, whole batches, sequence numbers without a gap.
//   - Durability: an ack says that the batch was synced to disk and survives a crash of the process and of the machine.
//     Readers see durable records and no others.
//   - Duplicates after a lost reply: none from one producer. For the life of the appender, the stream recognizes a
//     resend by its seq, compares the records with the stored ones, and acknowledges the resend without storing it
//     again. After a crash, the batches that were sent and not acknowledged may be stored: the first of them or all. A
//     new producer that sends them again stores them twice. An appender of [Stream.Resume] recognizes them, also in
//     another process, if nobody else writes to the stream.
//   - Resume grain: every record. Every portable start is supported. An offset is a sequence number in decimal and the
//     random name of the stream, such as 17@dGVzdGluZzE. An offset of an earlier stream of the same name, which was deleted
//     or lay in another file, is [backend.ErrOutOfRange]. A bare number is read too, as offsets were before streams had
//     such a name; nobody can know of which stream it is. A stream of a file written before gets its name with its next
//     append.
//   - Limits: 10,000 records and 4 MiB in a batch, 4 MiB in a record, 16 batches in flight; an option sets each. A
//     record counts its value, header names and header values.
//   - Times: kept to the nanosecond in UTC. A record without a time gets the time at which its batch is taken.
//   - End of stream: [Stream.Seal].
//   - Trim: [Stream.Trim]. A reader or an offset before the trimmed place is [backend.ErrOutOfRange].
//
// # Commits
//
// One goroutine writes to the file. While one commit waits for the disk, the batches that any producers of any streams
// send are collected, and the next commit carries all of them. So batches that arrive together share an fsync, and no
// batch waits for others to come.
//
// A commit that fails before its last step, for example on a full disk, has stored nothing. Sessions end with
// [backend.ErrTransient] and the cause, acknowledged records stay readable, and sending again is safe. The last step is
// the sync of the page that refers to the new data. When the last step fails, the outcome is unknown: sessions end with
// [backend.ErrIndeterminate], nothing more is written, and the file must be opened again. If a stored block does not
// match its checksum, readers get an error that names file, stream and seq; [Stream.Trim] can remove the block.
//
// # The file
//
// Only one process has the file open; a second process gets [ErrInUse] within a second. The file never shrinks: space
// that a trim frees is used again. You may keep other data in the same file, see [DB.Bolt].
//
// A file that was cut short, even to length 0, is refused with [ErrDamaged]. A new file appears as a whole, so a crash
// never leaves an empty file. Whoever finds a damaged page gets [ErrDamaged]; if an append finds it, nothing more is
// written to the file. Two kinds of damage still end or stop the process, because bbolt does not notice them: a branch
// page that leads back to itself, and a count of overflow pages that is far too large.
//
// Records are stored in blocks of about 8 KiB. Larger records cost more than their size, because bbolt rewrites up to
// four values with an append. So records of 64 KiB and more that are sent one by one are written to disk four to five
// times.
//
// A reader returns copies that belong to the caller. The records of one batch share one piece of memory: if you keep
// one record, you keep up to 1 MiB of its neighbours in memory too.
package bolt
