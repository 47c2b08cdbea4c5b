// Package memory is a stream in the memory of the process, for tests. The stream refuses every use that breaks the
// contract of package backend.
//
// # Delivery
//
//   - Order: one order for all producers, whole batches, sequence numbers without a gap.
//   - Durability: none beyond the process. After an ack, every reader can see the records.
//   - Duplicates after a lost reply: none from one producer. The stream recognizes a resend by its seq, compares the
//     records with the stored records, and acknowledges the resend without storing the records again. Other records
//     under the same seq are [backend.ErrConflict]. An appender of [Stream.Resume] also recognizes the batches of an
//     earlier appender of its name.
//   - Resume grain: every record. Every portable start is supported. An offset is a sequence number in decimal and the
//     random name of the stream, such as 17@dGVzdGluZzE. An offset of another Stream is [backend.ErrOutOfRange]; a bare number
//     is a place in any Stream.
//   - Limits: 1,000 records and 1 MiB in a batch, 1 MiB in a record, 16 batches in flight; an option sets each. S2 has
//     the same limits, so a test meets the limits before production does. A record counts its value, header names and
//     header values.
//   - Times: kept to the nanosecond in UTC. A record without a time gets the time at which its batch is taken.
//   - End of stream: [Stream.Seal] ends the stream for good. Then appends fail with [backend.ErrStreamClosed], and
//     readers get io.EOF behind the last record.
//   - Trim: [Stream.Trim]. A reader or an offset before the trimmed place is [backend.ErrOutOfRange].
//
// # Memory
//
// Send copies the records, and reads no lent memory after its return. Read copies nothing. The caller may keep the
// returned records for ever, but must not change them: neither the slice of records nor the bytes of values and
// headers, because all readers get the same memory. So reading costs no allocation and makes no work for the garbage
// collector.
package memory
