// Package bolt keeps streams in one file, by bbolt: durable, embedded, and in need of nothing but a directory.
//
// # Delivery
//
//   - Order: one order for all producers of a stream, whole batches, sequence numbers without a gap.
//   - Durability: an ack says that the batch was synced to disk and survives a crash of process and machine. Readers see
//     what is durable and nothing else.
//   - Duplicates after a lost reply: none from one producer. The stream knows a resend by its seq for the life of the
//     appender, compares it with what it holds, and acknowledges it without storing it again. After a crash the batches
//     that were sent and not acknowledged may be stored, the first of them or all; a new producer that sends them again
//     stores them twice.
//   - Resume grain: every record. Offsets are sequence numbers in decimal; every portable start is supported.
//   - Limits: 10,000 records and 4 MiB a batch, 4 MiB a record, 16 batches in flight, each an option. A record counts its
//     value, header names and header values.
//   - Times: kept to the nanosecond in UTC where given, else assigned when the batch is taken.
//   - End of stream: [Stream.CloseForGood]. Trim: [Stream.Trim]; a reader or an offset below it is
//     [backend.ErrOutOfRange].
//
// # Commits
//
// One goroutine writes. What any producers of any streams have sent while a commit waits for the disk shares the next one,
// so an fsync is paid by whoever is there and nobody waits for company.
//
// A commit that fails before its last step, as it does on a full disk, has stored nothing: sessions end with
// [backend.ErrTransient] and the cause, what was acknowledged is readable, and sending again is safe. When the very last
// step fails, the sync of the page that refers to the new data, the outcome is unknown: sessions end with
// [backend.ErrIndeterminate], nothing more is written, and the file must be opened again. A stored block that does not
// match its checksum is an error that names file, stream and seq; [Stream.Trim] gets past it.
//
// # The file
//
// One process has the file open at a time, a second one is told [ErrInUse] within a second. It never shrinks: space that a
// trim frees is used again. Another use of the same file is welcome, see [DB.Bolt].
//
// A file that was cut short, also to nothing, is refused with [ErrDamaged]; a new file appears whole, so an empty one was
// never left by a crash. A damaged page is [ErrDamaged] for whoever meets it; when that is an append, nothing is written to
// the file any more. Two kinds of damage still end or stop the process, as bbolt does not notice them: a branch page that
// leads back to itself, and a far too large count of overflow pages.
//
// Records are stored in blocks of about 8 KiB. Larger ones cost more than their size: bbolt rewrites up to four values with
// an append, so records of 64 KiB and more that are sent one by one are written to disk four to five times over.
//
// What a reader returns is a copy that belongs to the caller. The records of one batch share one piece of memory: a record
// that is kept keeps up to 1 MiB of its neighbours.
package bolt
